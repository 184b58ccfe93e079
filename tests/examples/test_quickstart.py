import json

from examples.quickstart import main


def test_classifies_test_clips_and_prints_the_accuracy(tmp_path, pretrained, write_tone, capsys):
    data_dir = tmp_path / "speech"
    data_dir.mkdir()
    names = [f"cat/{i}_nohash_0.wav" for i in range(7)]
    (data_dir / "cat").mkdir()
    for name in names:
        write_tone(f"speech/{name}")
    (data_dir / "testing_list.txt").write_text("\n".join(names))
    results = {
        "recipe": {"data_dir": str(data_dir)},
        "clips": {"test": 7},
        "metrics": {"test": {"accuracy": 0.98765}},
    }
    (pretrained / "results.json").write_text(json.dumps(results))

    main([str(pretrained)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [["cat", f"{i}_nohash_0.wav"] for i in (0, 2, 4)]
    assert all(line.count(",") == 2 for line in lines[:3])  # three labels
    assert "accuracy on 7 test clips" in lines[4] and "0.9877" in lines[4]
    assert any(str(pretrained) in line and "pipeline" in line for line in lines)
