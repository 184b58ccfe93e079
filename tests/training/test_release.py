"""The folder of a run becomes one for the Hub, and its scores are computed again."""

import json
import shutil

import numpy as np
import pytest
import soundfile
from huggingface_hub import ModelCard

from training import release, train

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tiny_run, tmp_path):
    train.main(tiny_run)
    return tmp_path / "run"


@pytest.fixture
def example(tmp_path):
    path = tmp_path / "low.wav"
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 300 * np.arange(4000) / 22050), 22050)
    return path


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_release_of_a_run(run, example, tones, tmp_path, capsys, monkeypatch):
    output = tmp_path / "tone-spotter"
    release.main(["make", str(run), str(output), "--compare", f"same={run}", "--examples", str(example)])
    card, results = ModelCard.load(output / "README.md"), json.loads((output / "results.json").read_text())
    assert card.data.model_name == "tone-spotter" and "# tone-spotter" in card.text
    assert card.data.widget == [{"src": "examples/low.wav", "example_title": "low"}]
    assert (output / "examples" / "low.wav").read_bytes() == example.read_bytes()
    assert (output / "onnx" / "model.onnx").is_file()
    score = results["metrics"]["test"]["accuracy"]
    assert ["same", "1", f"{score:.4f}", "–", f"test, seed 0: {score:.4f}"] in rows(card.text)
    (answered,) = results["examples"]
    best = answered["predictions"][0]
    (row,) = [row for row in rows(card.text) if row[0] == "examples/low.wav"]
    assert row[1] == "low" and row[2].startswith(f"{best['label']} {best['score']:.3f}")
    epochs = [row[0] for row in rows(card.text.partition("Epochs")[2])]
    assert epochs[2:5] == ["1", "2", "3"]

    capsys.readouterr()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    release.main(["check", str(output), "--data_dir", str(tones)])
    assert not list((tmp_path / "here").iterdir())
    table = rows(capsys.readouterr().out)
    assert {row[0] for row in table[2:]} == {"validation", "test"} and all(row[2] == row[3] for row in table[2:])

    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    release.main(["renew", str(output)])
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before

    (output / "examples" / "low.wav").rename(output / "examples" / "high.wav")
    release.main(["renew", str(output)])
    (answered,) = json.loads((output / "results.json").read_text())["examples"]
    assert (answered["file"], answered["label"]) == ("examples/high.wav", "high")


def test_scores_that_differ_from_the_card(run, tones):
    results = json.loads((run / "results.json").read_text())
    results["metrics"]["test"]["accuracy"] += 0.01
    (run / "results.json").write_text(json.dumps(results))
    with pytest.raises(SystemExit, match="1 of .* scores differ from the card"):
        release.main(["check", str(run), "--data_dir", str(tones)])


def test_data_with_other_clips(run, tones):
    results = json.loads((run / "results.json").read_text())
    results["clips"]["test"] += 1
    (run / "results.json").write_text(json.dumps(results))
    with pytest.raises(SystemExit, match="has .* test clips, not the .* of the card"):
        release.main(["check", str(run), "--data_dir", str(tones)])


def test_runs_without_scores(run, tmp_path):
    results = json.loads((run / "results.json").read_text())
    (run / "results.json").write_text(json.dumps({**results, "metrics": {}}))
    with pytest.raises(SystemExit, match="has no scores to compare"):
        release.main(["make", str(run), str(tmp_path / "new"), "--compare", f"same={run}"])
    with pytest.raises(SystemExit, match="its card has no scores"):
        release.main(["check", str(run)])


def test_folders_and_examples_that_cannot_be_used(run, example, tmp_path):
    with pytest.raises(SystemExit, match="error: .* exists: remove it, or renew it"):
        release.main(["make", str(run), str(tmp_path)])
    with pytest.raises(SystemExit, match="results.json does not exist: give the folder of a finished run"):
        release.main(["make", str(tmp_path), str(tmp_path / "new")])
    other = shutil.copyfile(example, example.with_name("loud.wav"))
    with pytest.raises(SystemExit, match="'loud' is not a label of"):
        release.main(["make", str(run), str(tmp_path / "new"), "--examples", str(other)])
    assert not (tmp_path / "new").exists()


def test_scores_of_words_in_a_stream_are_checked_too():
    stream = {
        "keyword_clips": 9,
        "threshold": 0.7,
        "false_alarms_per_hour": None,
        "miss_rate": 0.5,
        "keyword_accuracy": 0.9,
    }
    results = {"metrics": {"test": {"accuracy": 0.8, "f1_macro": None}}, "detection": {"splits": {"test": stream}}}
    assert list(release.all_scores(results)) == [
        ("test", "accuracy", 0.8),
        ("test", "miss_rate", 0.5),
        ("test", "keyword_accuracy", 0.9),
    ]
