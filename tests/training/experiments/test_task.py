"""Tasks and their errors, before anything is trained or written."""

import pytest

from training.data.source import Clip
from training.experiments import __main__ as experiments
from training.experiments.task import few_clips


def test_few_clips_hold_every_label():
    clips = [Clip(None, (label,)) for label in [0] * 30 + [1] * 30 + [2]]
    few = few_clips(clips, 24)
    assert len(few) == 24 and {clip.labels for clip in few} == {(0,), (1,), (2,)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tasks", "speech"], "there is no task 'speech': choose from magnatagatune, speech_commands, dcase2017"),
        (["--tasks", "dcase2017", "--data_dir=missing"], "python -m training.download dcase2017 --data_dir missing"),
        (["--data_dir=missing"], "--data_dir holds the data of one task: name the task"),
        (["--tasks", "dcase2017", "--source=folder"], "--tasks names the paper's tasks: leave it out with --source"),
        (["--source=folder"], "--data_dir is missing"),
        (["--tasks", "dcase2017", "--synthetic", "--folds"], "dcase2017 has no folds"),
        (["--seeds=0"], "--seeds must be at least 1; got 0"),
        (["--threads=-1"], "--threads must be at least 1; got -1"),
    ],
)
def test_wrong_options(options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as refused:
        experiments.main(["figure_6", *options])
    assert str(refused.value).startswith("error: ") and message in str(refused.value)
    assert "\n" not in str(refused.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("line", ["variant: test-se", "pretrained: runs/quickstart"])
def test_recipe_without_a_family(on_tones, tmp_path, line):
    (tmp_path / "recipe.yaml").write_text(line)
    with pytest.raises(SystemExit, match="the recipe must name a network of the paper's families"):
        experiments.main(["figure_6", *on_tones])
