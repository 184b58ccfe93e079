"""Numbers in the README are those of the files that the runs wrote."""

import json
from pathlib import Path

import pytest

from training.experiments import EXPERIMENTS
from training.experiments.output import page

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_nothing_is_left_to_be_filled_in():
    assert "@@" not in README


def results(name: str) -> dict:
    return json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text())


@pytest.mark.parametrize("recipe", ["modern", "paper"])
def test_recorded_speech(recipe):
    run = results(f"arabic_{recipe}")
    assert run["recipe"]["recipe"] == f"training/recipes/speech_commands/{recipe}.yaml"
    row = next(line for line in README.splitlines() if line.startswith(f"| `{recipe}` |"))
    accuracy, kept_epoch, minutes = (cell.strip(" *") for cell in row.split("|")[2:5])
    assert accuracy == f"{100 * run['metrics']['validation']['accuracy']:.2f} %"
    assert int(kept_epoch) == run["kept_epoch"]
    assert float(minutes) == round(run["training_seconds"] / 60, 1)
    curve = " ".join(f"{100 * record['validation']['accuracy']:.1f}" for record in run["history"])
    assert f"`{recipe}` {curve}" in " ".join(README.split())


def test_quickstart():
    run = results("quickstart")
    assert f"**{100 * run['metrics']['test']['accuracy']:.1f} % test accuracy" in README
    assert f"the training took {run['training_seconds'] / 60:.1f} minutes" in README


def test_fine_tuning():
    run = json.loads((ROOT / "docs" / "experiments" / "fine_tuning" / "bed_cat_happy.json").read_text())
    scores = ", ".join(f"{100 * one['test_accuracy']:.1f}" for one in run["runs"])
    seconds = max(round(one["training_seconds"]) for one in run["runs"])
    text = " ".join(README.split())
    assert f"**{scores} %** of the test clips with three seeds, in {seconds} seconds of training" in text
    assert f"and the script {100 * run['example']['test_accuracy']:.1f} %" in text


@pytest.mark.parametrize("task", ["speech", "music", "scenes"])
def test_synthetic_data(task):
    run = results(f"synthetic_{task}")
    assert run["synthetic"] and run["recipe"]["recipe"].endswith("/paper.yaml")
    row = next(line for line in README.splitlines() if line.startswith(f"| `{run['source']}` | {task} "))
    clips, epochs, score, minutes = (cell.strip(" *") for cell in row.split("|")[3:7])
    assert clips == " / ".join(f"{count:,}" for count in run["clips"].values())
    assert int(epochs) == len(run["history"])
    assert score.endswith(f"{run['metrics']['test'][run['metric']]:.3f}")
    assert float(minutes) == round(run["training_seconds"] / 60, 1)


def test_cross_validation():
    summary = results("esc10")
    accuracy = (
        f"{100 * summary['accuracy_mean']:.1f} % (standard deviation {100 * summary['accuracy_std']:.1f} points)"
    )
    assert f"**{accuracy}**" in " ".join(README.split())
    folds = ", ".join(f"{100 * fold['accuracy']:.1f}" for fold in summary["folds"].values())
    minutes = sum(fold["seconds"] for fold in summary["folds"].values()) / 60
    assert f"folds 1-4: {folds} %; {minutes:.0f} minutes" in " ".join(README.split())


def test_preparation():
    benchmark = json.loads((ROOT / "benchmarks" / "results" / "preparation.json").read_text())
    for name, milliseconds in benchmark["milliseconds_per_clip"].items():
        assert f"| {name} | {milliseconds} |" in README
    text = " ".join(README.split())
    assert f"{benchmark['speed_up_over_librosa']} times as fast" in text
    assert f"takes {benchmark['time_over_bare_decoding']} times the time" in text
    memory = benchmark["peak_memory_mb_by_clips"]
    assert f"{', '.join(map(str, memory.values()))} MB with {', '.join(memory)} clips" in text


def test_speed():
    benchmark = json.loads((ROOT / "benchmarks" / "results" / "training_step.json").read_text())
    for name, speed in benchmark["segments_per_second"].items():
        assert f"| {name} | {speed} | {benchmark['ratio_to_plain_float32'][name]} |" in README


@pytest.mark.parametrize("data", ["arabic_speech_commands", "esc10"])
@pytest.mark.parametrize("name", ["figure_6", "figure_7", "figure_8", "figure_9", "figure_10"])
def test_figures_on_recordings(data, name):
    folder = ROOT / "docs" / "experiments"
    result = json.loads((folder / data / f"{name}.json").read_text())
    assert not result["quick"] and result.get("runs", {}).get("finished") == result.get("runs", {}).get("planned")
    assert (folder / data / f"{name}.md").read_text() == page(result, EXPERIMENTS[name].title, [name])
    assert (folder / data / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert f"({data}/{name}.md)" in (folder / "README.md").read_text()
