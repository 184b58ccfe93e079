import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from training import cross_validate
from training.loop.training_run import TrainingRun

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


def test_interrupted_overwriting_trains_all_folds_anew(tiny_run, folds, tmp_path, monkeypatch):
    def dates() -> list[int]:
        return [(tmp_path / "run" / f"fold{fold}" / "model.safetensors").stat().st_mtime_ns for fold in "123"]

    options = [*tiny_run, "--num_epochs=1"]
    cross_validate.main(options)
    old = dates()
    whole = TrainingRun.fit

    def fit(run):
        if "fold2" in run.recipe.output_dir:
            raise KeyboardInterrupt
        return whole(run)

    with monkeypatch.context() as context:
        context.setattr(TrainingRun, "fit", fit)
        with pytest.raises(SystemExit, match="interrupted"):
            cross_validate.main([*options, "--overwrite"])
    halfway = dates()
    assert halfway[0] > old[0] and halfway[1:] == old[1:]
    cross_validate.main([*options, "--resume"])
    assert dates()[0] == halfway[0] and all(new > before for new, before in zip(dates()[1:], old[1:], strict=True))
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["fold1", "fold2", "fold3", "results.json"]


@pytest.mark.parametrize("content", ['{"history": []}', "5", "{"])
def test_results_of_something_else_are_kept(tiny_run, folds, tmp_path, content):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "results.json").write_text(content)
    with pytest.raises(SystemExit, match="results.json was not written by a cross-validation: choose another"):
        cross_validate.main([*tiny_run, "--overwrite"])
    assert (tmp_path / "run" / "results.json").read_text() == content


def test_other_sources_have_no_folds(tiny_run):
    with pytest.raises(SystemExit, match="speech_commands has no folds"):
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
    with pytest.raises(SystemExit, match="error: .* does not start with a fold number"):
        cross_validate.main(tiny_run)
