import json

from examples.quickstart import MEASURED, main


def test_classifies_test_clips_and_prints_the_accuracies(tmp_path, pretrained, write_tone, capsys):
    data_dir = tmp_path / "speech"
    names = ["_unknown_/0_nohash_0.wav", *(f"cat/{i}_nohash_0.wav" for i in range(7))]
    for name in names:
        (data_dir / name).parent.mkdir(parents=True, exist_ok=True)
        write_tone(f"speech/{name}")
    (data_dir / "testing_list.txt").write_text("\n".join(names))
    results = {
        "recipe": {"data_dir": str(data_dir)},
        "detection": {"splits": {"test": {"keyword_clips": 7, "keyword_accuracy": 0.98765}}},
    }
    (pretrained / "results.json").write_text(json.dumps(results))

    main([str(pretrained)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [["cat", f"{i}_nohash_0.wav"] for i in (0, 2, 4)]
    assert all(line.count(",") == 2 for line in lines[:3])  # three labels
    assert "0.9877  7 test clips" in lines[5]
    people = json.loads(MEASURED.read_text())["detection"]["splits"]["recordings"]
    assert f"{people['keyword_accuracy']:.4f}  {people['keyword_clips']} recordings of people" in lines[6]
    assert any(str(pretrained) in line and "pipeline" in line for line in lines)
