import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from training import cross_validate

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folds(tones):
    """The tones as class folders, dealt to three folds."""
    for path in tones.glob("*.csv"):
        path.unlink()
    for folder in tones.iterdir():
        for i, path in enumerate(sorted(folder.iterdir())):
            path.rename(path.with_name(f"{i % 3 + 1}-{path.name}"))
    return tones


def test_each_fold_is_held_out_once(tiny_run, folds, tmp_path, capsys):
    cross_validate.main([*tiny_run, "--num_epochs=2"])
    summary = json.loads((tmp_path / "run" / "results.json").read_text())
    assert [scores["clips"] for scores in summary["folds"].values()] == [21, 21, 18]
    accuracies = []
    for fold, scores in summary["folds"].items():
        run = json.loads((tmp_path / "run" / f"fold{fold}" / "results.json").read_text())
        assert run["clips"]["train"] == 60 - scores["clips"]
        assert scores["accuracy"] == run["history"][-1]["validation"]["accuracy"]  # of the last epoch, not the best
        accuracies.append(scores["accuracy"])
    assert summary["accuracy_mean"] == pytest.approx(sum(accuracies) / 3)
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"accuracy {summary['accuracy_mean']:.4f} +- ")

    cross_validate.main([*tiny_run, "--num_epochs=2", "--resume"])
    assert capsys.readouterr().out.count("is finished already") == 3


def test_other_sources_have_no_folds(tiny_run):
    with pytest.raises(SystemExit, match="not of speech_commands"):
        cross_validate.main([*tiny_run, "--source=speech_commands"])


@pytest.mark.slow
def test_two_processes(tiny_run, folds, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "-m", "training.cross_validate"]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    options = [*tiny_run, "--num_epochs=1"]
    result = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("over the folds") == 1
    assert len(json.loads((tmp_path / "run" / "results.json").read_text())["folds"]) == 3


def test_data_without_folds(tiny_run, tones):
    with pytest.raises(SystemExit, match="error: .* does not begin with the number of its fold"):
        cross_validate.main(tiny_run)
