"""Runs of a grid: interrupted, shared with train.py, and with changed options or data."""

import pytest

from training import train
from training.loop.training_run import TrainingRun


def test_interrupted_grid_is_resumed(run, on_tones, trained, monkeypatch, capsys):
    fit = TrainingRun.fit

    def interrupt(self):
        result = fit(self)
        if len(trained) == 3:
            raise KeyboardInterrupt
        return result

    run_two = [*on_tones, "--seeds=2"]
    with monkeypatch.context() as context:
        context.setattr(TrainingRun, "fit", interrupt)
        with pytest.raises(SystemExit, match="interrupted: the same command resumes"):
            run("table_2", *run_two)
    shown = capsys.readouterr().out
    assert "2 of 6 runs are done; the same command continues: python -m training.experiments table_2 --source" in shown
    assert len([line for line in shown.splitlines() if line.endswith("| – | – | – |")]) == 1  # not trained yet

    result = run("table_2", *run_two)
    assert trained[2:] == ["basic-8-seed0", "basic-8-seed0", *(name.replace("d0", "d1") for name in trained[:3])]
    assert "resumed after epoch 1" in capsys.readouterr().out
    assert [row["runs"] for row in result["tables"]["table_2"]] == [2, 2, 2]

    assert run("table_2", *run_two) == result and len(trained) == 7  # nothing was left to do
    with pytest.raises(
        SystemExit, match="stem27x27-fixed-seed0 was trained with --num_epochs 1, not 2: give the same opt"
    ):
        run("table_2", *on_tones, "--seeds=1", "--num_epochs=2")
    assert len(trained) == 7


def test_run_of_train_py_counts_until_the_data_change(run, on_tones, tones, trained, tmp_path):
    options = [option for option in on_tones if not option.startswith("--runs_dir")]
    train.main([*options, "--variant=basic-8", f"--output_dir={tmp_path / 'experiments' / 'tones' / 'basic-8-seed0'}"])
    run("table_2", *on_tones, "--seeds=1")
    assert trained == ["basic-8-stem27x27-fixed-seed0", "basic-8-stem9x9-fixed-seed0"]

    (tones / "test.csv").unlink()
    with pytest.raises(SystemExit, match="was trained on other clips than .*tones has now: choose another folder"):
        run("table_2", *on_tones, "--seeds=1")
