import json
from pathlib import Path

import pytest

from benchmarks import fine_tuning
from training.recipe import parse_recipe


@pytest.fixture
def speech_commands(tmp_path, write_tone):
    folder = tmp_path / "speech_commands"
    for word in (*fine_tuning.WORDS, "yes"):
        (folder / word).mkdir(parents=True)
        for i in range(4):
            write_tone(f"speech_commands/{word}/{i}_nohash_0.wav", seconds=0.1, sampling_rate=16000)
    for i, name in enumerate(("validation_list.txt", "testing_list.txt")):
        (folder / name).write_text("".join(f"{word}/{i}_nohash_0.wav\n" for word in (*fine_tuning.WORDS, "yes")))
    return folder


@pytest.fixture
def pretrained(pretrained):
    results = {
        "recipe": {"recipe": "modern.yaml", "data_dir": "/data", "output_dir": str(pretrained)},
        "source": "speech_commands",
        "command": f"train.py --recipe modern.yaml --data_dir /data --output_dir {pretrained}",
        "metrics": {"validation": {"accuracy": 0.9}},
    }
    (pretrained / "results.json").write_text(json.dumps(results))
    return pretrained


def test_results(speech_commands, pretrained, results, monkeypatch):
    def run(script, *arguments):
        assert (fine_tuning.ROOT / script).is_file()
        if script == "examples/finetune.py":
            _, words, _ = map(Path, arguments)
            return {"test": 0.5}, 1.0
        monkeypatch.chdir(fine_tuning.ROOT)
        words = Path(parse_recipe(list(arguments)).data_dir)
        assert sorted(path.name for path in (words / "test").iterdir()) == list(fine_tuning.WORDS)
        assert all(path.is_file() for path in words.rglob("*.wav"))
        return {"test": {"accuracy": 0.75}}, 2.0

    monkeypatch.setattr(fine_tuning, "run", run)
    fine_tuning.main([str(pretrained), str(speech_commands)])
    written = results("fine_tuning")
    assert written["clips"] == {"train": 6, "validation": 3, "test": 3}
    assert written["methods"] == {
        **{f"recipe, seed {seed}": {"test_accuracy": 0.75, "seconds": 2.0} for seed in fine_tuning.SEEDS},
        "example": {"test_accuracy": 0.5, "seconds": 1.0},
    }
    assert written["pretrained"]["validation"] == 0.9 and str(pretrained) not in json.dumps(written)


def test_run_returns_the_last_line_and_the_time(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import time\ntime.sleep(0.2)\nprint('epoch 1')\nprint('{\"test\": 0.5}')")
    scores, seconds = fine_tuning.run(str(script))
    assert scores == {"test": 0.5} and seconds >= 0.2
    script.write_text("raise SystemExit('error: no such data')")
    with pytest.raises(SystemExit, match="error: no such data"):
        fine_tuning.run(str(script))


def test_folder_without_results(tmp_path, capsys):
    with pytest.raises(SystemExit):
        fine_tuning.main([str(tmp_path), str(tmp_path)])
    assert f"error: {tmp_path} has no results.json" in capsys.readouterr().err
