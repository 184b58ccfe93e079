import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from training import cross_validate

ROOT = Path(__file__).parents[2]


def test_each_fold_is_held_out_once(tiny_run, folds, tmp_path, capsys):
    cross_validate.main([*tiny_run, "--num_epochs=2"])
    summary = json.loads((tmp_path / "run" / "results.json").read_text())
    assert [scores["clips"] for scores in summary["folds"].values()] == [21, 21, 18]
    accuracies = []
    for fold, scores in summary["folds"].items():
        run = json.loads((tmp_path / "run" / f"fold{fold}" / "results.json").read_text())
        assert run["clips"]["train"] == 60 - scores["clips"]
        assert run["kept_epoch"] == 2 and scores["accuracy"] == run["metrics"]["validation"]["accuracy"]
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
