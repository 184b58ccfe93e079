"""Evaluation of a finished run."""

import json

import pytest

from training import evaluate, train


def test_evaluate_finds_the_numbers_of_the_run_again(tiny_run, tones, tmp_path, capsys):
    train.main(tiny_run)
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    capsys.readouterr()
    cache = ["--cache_dir", str(tmp_path / "cache")]
    evaluate.main([str(tmp_path / "run"), "--source=folder", f"--data_dir={tones}", "--split=validation", *cache])
    *table, line = capsys.readouterr().out.splitlines()
    measured = json.loads(line)
    assert table[0].startswith("| label | clips |") and [row.split(" | ")[0] for row in table[2:]] == [
        "| high",
        "| low",
        "| middle",
    ]
    assert measured["clips"] == 12
    assert measured["accuracy"] == results["metrics"]["validation"]["accuracy"]
    assert measured["loss"] == pytest.approx(results["metrics"]["validation"]["loss"], abs=1e-6)
