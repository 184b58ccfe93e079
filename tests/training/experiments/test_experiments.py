"""Every experiment from its command to its files, on tiny networks."""

import argparse
import csv
import json

import pytest
from scipy.stats import ttest_ind
from training.experiments.tasks import PAPER_TASKS, Task, few_clips

from samplecnn_hf import create_config
from training import train
from training.data.source import Clip
from training.experiments import EXPERIMENTS, grid
from training.experiments import __main__ as experiments
from training.experiments.figures import figure_6
from training.experiments.grid import Trained
from training.experiments.output import markdown
from training.experiments.tables import table_3
from training.paper import PAPER
from training.recipe import parse_recipe

NO_OPTIONS = argparse.Namespace(alphas=False, channels="restart", partial_frames="drop")


def paper_task(name: str) -> Task:
    return Task(parse_recipe([f"--recipe={PAPER_TASKS[name]}", f"--data_dir=data/{name}", "--output_dir=runs"]))


@pytest.fixture
def trained(monkeypatch):
    """Names of the runs that were trained, in order."""
    names = []

    def train_and_note(recipe, source):
        names.append(recipe.output_dir.rpartition("/")[2])
        return train.train(recipe, source)

    monkeypatch.setattr(grid, "train", train_and_note)
    return names


# What is trained


@pytest.mark.parametrize("task", PAPER_TASKS)
def test_networks_of_the_paper(task):
    task = paper_task(task)
    blocks = 9 if task.family == "9" else 8
    counts = {"figure_4": 26, "table_2": 8, "figure_5": blocks + 1, "figure_6": 6, "table_3": 8, "table_4": 6}
    for name, count in {**counts, "table_5": 4}.items():
        cells = EXPERIMENTS[name].cells(task, NO_OPTIONS)
        assert len({cell.name for cell in cells}) == len(cells) == count
        assert all(create_config(cell.variant).num_blocks <= blocks for cell in cells)
    assert [cell.paper for cell in EXPERIMENTS["table_2"].cells(task, NO_OPTIONS)] == [
        scores[task.recipe.source] for scores in PAPER["table_2"].values()
    ]
    known = {cell.variant: cell.paper for cell in figure_6.cells(task, NO_OPTIONS) if cell.paper}
    assert known == PAPER["figure_6"][task.recipe.source]
    # The plain runs of Table V are those of Fig. 6.
    assert {"basic", "se"} == {
        cell.name.partition("-")[0]
        for cell in EXPERIMENTS["table_5"].cells(task, NO_OPTIONS)
        if cell.name in {cell.name for cell in figure_6.cells(task, NO_OPTIONS)}
    }


@pytest.mark.parametrize("task", PAPER_TASKS)
@pytest.mark.parametrize("name", ["figure_4", "table_2", "figure_5"])
def test_the_other_reading_of_the_stems(name, task):
    """Every network of the other reading is built as asked, and none shares a run with the assumed one."""
    task = paper_task(task)
    args = argparse.Namespace(channels="keep", partial_frames="pad")
    full = create_config(task.network("basic"))
    assumed = EXPERIMENTS[name].cells(task, NO_OPTIONS)
    cells = EXPERIMENTS[name].cells(task, args)
    assert len(cells) == len(assumed) and not {cell.name for cell in cells} & {cell.name for cell in assumed}
    for cell in cells:
        config = cell.recipe(task).create_config(["a", "b"], "multi_label_classification")
        assert config.partial_frames == "pad"
        multiples = [channels / config.stem_channels for channels in config.block_channels]
        assert multiples == [channels / full.stem_channels for channels in full.block_channels[-config.num_blocks :]]
        if name == "table_2" and cell.columns["stride"] > 3:
            assert config.stem_channels < create_config(cell.variant).stem_channels


def test_alphas():
    task = paper_task("magnatagatune")
    cells = table_3.cells(task, argparse.Namespace(alphas=True))
    ratios = {cell.recipe(task).create_config(["a", "b"], "multi_label_classification").se_ratio for cell in cells}
    assert ratios == {2.0**exponent for exponent in range(-4, 5)}
    assert len({cell.name for cell in cells}) == len(cells) == 8 + 6


def test_few_clips_hold_every_label():
    clips = [Clip(None, (label,)) for label in [0] * 30 + [1] * 30 + [2]]
    few = few_clips(clips, 24)
    assert len(few) == 24 and {clip.labels for clip in few} == {(0,), (1,), (2,)}


# From the command to the files


@pytest.mark.slow
def test_every_experiment_and_the_runs_they_share(run, on_tones, trained, tmp_path, capsys):
    new = {"figure_4": 8, "table_2": 2, "figure_5": 5, "figure_6": 4, "table_3": 2, "table_4": 0, "table_5": 2}
    folder = tmp_path / "experiments" / "results" / "tones"
    for name, count in new.items():
        before = len(trained)
        result = run(name, *on_tones)
        assert len(trained) - before == count, f"{name} trained {trained[before:]}"
        assert result["runs"]["finished"] == result["runs"]["planned"]
        assert (result["metric"], result["split"], result["synthetic"]) == ("accuracy", "test", False)
        assert f"\n\n{markdown(result, EXPERIMENTS[name])}\n\n" in capsys.readouterr().out
        page = (folder / f"{name}.md").read_text()
        assert page.startswith(markdown(result, EXPERIMENTS[name])) and f"\n{result['command']}\n" in page
        for table, rows in result["tables"].items():
            with (folder / f"{table}.csv").open(newline="") as file:
                read = list(csv.DictReader(file))
            assert [[line[column] for column in row] for line, row in zip(read, rows, strict=True)] == [
                ["" if value is None else str(value) for value in row.values()] for row in rows
            ]
            assert all(line["command"] == result["command"] and line["data"] == "tones" for line in read)
        for picture in EXPERIMENTS[name].plots(result["tables"]):
            assert f"({picture}.png)" in page
            assert (folder / f"{picture}.png").read_bytes().startswith(b"\x89PNG")
            assert "accuracy on the test split of tones (12 clips)" in (folder / f"{picture}.svg").read_text()
    assert len(trained) == len(set(trained))

    result = json.loads((folder / "table_3.json").read_text())
    for row in result["tables"]["table_3"]:
        results = json.loads(
            (tmp_path / "experiments" / "tones" / f"{row['network']}-seed0" / "results.json").read_text()
        )
        assert row["parameters"] == results["parameters"]
        assert row["10^9 MACs"] == pytest.approx(results["giga_macs"], abs=1e-6)
        assert row["mean"] == results["metrics"]["test"]["accuracy"]
        assert row["ms a step"] > 0
    differences = json.loads((folder / "table_5.json").read_text())["tables"]["figure_11"]
    assert [row["plain - normalized"] for row in differences] == sorted(
        (row["plain"] - row["normalized"] for row in differences), reverse=True
    )


@pytest.mark.slow
def test_interrupted_grid_goes_on(run, on_tones, trained, tmp_path, monkeypatch, capsys):
    whole = train.TrainingRun.fit

    def interrupt(self):
        whole(self)
        raise KeyboardInterrupt

    run_two = [*on_tones, "--seeds=2"]
    with monkeypatch.context() as context:
        context.setattr(train.TrainingRun, "fit", lambda self: (interrupt if len(trained) == 3 else whole)(self))
        with pytest.raises(SystemExit, match="interrupted: the same command goes on"):
            run("table_2", *run_two)
    shown = capsys.readouterr().out
    assert "2 of 6 runs are done; the same command goes on: python -m training.experiments table_2 --source" in shown
    assert len([line for line in shown.splitlines() if line.endswith("| – | – | – |")]) == 1  # not trained yet

    result = run("table_2", *run_two)
    assert trained[2:] == ["basic-8-seed0", "basic-8-seed0", *(name.replace("d0", "d1") for name in trained[:3])]
    assert "resumed after epoch 1" in capsys.readouterr().out
    assert [row["runs"] for row in result["tables"]["table_2"]] == [2, 2, 2]

    assert run("table_2", *run_two) == result and len(trained) == 7  # nothing was left to do
    with pytest.raises(
        SystemExit, match="stem27x27-fixed-seed0 was begun with num_epochs 1, not 2: give the same opt"
    ):
        run("table_2", *on_tones, "--num_epochs=2")
    assert len(trained) == 7


def test_a_run_of_train_py_counts_until_the_data_change(run, on_tones, tones, trained, tmp_path):
    options = [option for option in on_tones if not option.startswith(("--runs_dir", "--seeds"))]
    train.main([*options, "--variant=basic-8", f"--output_dir={tmp_path / 'experiments' / 'tones' / 'basic-8-seed0'}"])
    run("table_2", *on_tones)
    assert trained == ["basic-8-stem27x27-fixed-seed0", "basic-8-stem9x9-fixed-seed0"]

    (tones / "test.csv").unlink()
    with pytest.raises(SystemExit, match="was trained on other clips than .*tones holds now: give another --runs_dir"):
        run("table_2", *on_tones)


@pytest.mark.slow
def test_quick_synthetic_music(run, on_chords, tmp_path, capsys):
    result = run("table_5", *on_chords, "--quick", "--seeds=3")
    assert result["quick"] and result["synthetic"] and result["data"] == "magnatagatune-synthetic-quick"
    assert result["metric"] == "roc_auc" and all(clips <= 24 for clips in result["clips"].values())
    shown = capsys.readouterr().out
    assert "QUICK CHECK, scores mean nothing: roc_auc on the test split of magnatagatune-synthetic-quick (" in shown
    rows = result["tables"]["table_5"]
    assert [(row["network"], row["runs"], row["paper"], row["paper sd"]) for row in rows] == [
        ("basic-9-do_normalize=True", 1, 0.9044, 0.0007),
        ("basic-9", 1, 0.9054, 0.0007),
        ("se-9-do_normalize=True", 1, 0.9057, 0.0005),
        ("se-9", 1, 0.9083, 0.0008),
    ]
    assert {row["label"] for row in result["tables"]["figure_11"]} == {"high", "low", "middle"}
    # Neither the runs nor the decoded clips are those of the real grid.
    assert {path.name for path in (tmp_path / "experiments").iterdir()} == {"magnatagatune-synthetic-quick", "results"}
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_folds_in_place_of_seeds(run, on_tones, folds, trained, tmp_path, capsys):
    options = [option for option in on_tones if not option.startswith("--seeds")]
    result = run("table_2", *options, "--folds", "--num_epochs=2")
    assert trained == [
        f"basic-8{stem}-fold{n}" for n in (1, 2, 3) for stem in ("-stem27x27-fixed", "-stem9x9-fixed", "")
    ]
    said = (
        "accuracy on 3 folds of tones (about 21 clips each), each held out of one training and scored after its last"
    )
    assert said in capsys.readouterr().out
    runs = [
        json.loads((tmp_path / "experiments" / "tones" / f"basic-8-fold{n}" / "results.json").read_text())
        for n in (1, 2, 3)
    ]
    assert [results["kept_epoch"] for results in runs] == [2, 2, 2]
    assert [results["clips"]["validation"] for results in runs] == [21, 21, 18]
    row = next(row for row in result["tables"]["table_2"] if row["network"] == "basic-8")
    assert row["mean"] == pytest.approx(sum(results["metrics"]["validation"]["accuracy"] for results in runs) / 3)
    assert row["runs"] == 3 and row["sd"] is not None


# Statistics


def music_runs(scores: dict[str, list[float]]) -> list[Trained]:
    def results(score):
        return {"metrics": {"test": {"roc_auc": score, "pr_auc": score / 2}}}

    cells = figure_6.cells(paper_task("magnatagatune"), NO_OPTIONS)
    return [Trained(cell, [results(score) for score in scores.get(cell.variant, [])]) for cell in cells]


@pytest.fixture
def music(monkeypatch):
    monkeypatch.setattr(Task, "source", argparse.Namespace(metric="roc_auc", splits={"test": []}))
    return paper_task("magnatagatune")


def test_t_tests_beside_the_papers(music):
    scores = {"se-9": [0.9, 0.91, 0.905], "rese2-9": [0.89, 0.9, 0.88], "res2-9": [0.7, 0.71, 0.7]}
    tables = figure_6.tables(music, music_runs(scores))
    compared = {(row["first"], row["second"]): row for row in tables["figure_6_t_tests"]}
    assert len(compared) == 3
    row = compared["se-9", "rese2-9"]
    assert row["p"] == pytest.approx(ttest_ind(scores["se-9"], scores["rese2-9"]).pvalue)
    assert row["difference of means"] == pytest.approx(0.015)
    assert (row["paper: better"], row["paper: p"]) == ("se-9", 0.26)
    row = next(row for row in tables["figure_6"] if row["network"] == "se-9")
    assert (row["mean"], row["sd"]) == pytest.approx((0.905, 0.005))
    assert (row["PR-AUC mean"], row["PR-AUC sd"]) == pytest.approx((0.4525, 0.0025))


@pytest.mark.parametrize(
    ("scores", "said"), [([0.9], "needs --seeds 2 or more"), ([0.9, 0.9], "the scores do not vary")]
)
def test_what_a_t_test_needs(music, scores, said):
    tables = figure_6.tables(music, music_runs({"se-9": scores, "res2-9": scores, "rese2-9": scores}))
    assert [row["p"] for row in tables["figure_6_t_tests"]] == [said] * 3


# What is refused, in one line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tasks", "speech"], "there is no task 'speech': choose from magnatagatune, speech_commands, dcase2017"),
        (["--tasks", "dcase2017", "--data_dir=missing"], "python -m training.download dcase2017 --data_dir missing"),
        (["--data_dir=missing"], "--data_dir holds the data of one task: name it"),
        (["--tasks", "dcase2017", "--source=folder"], "--tasks are the paper's; leave it out with --source"),
        (["--source=folder"], "--data_dir is missing"),
        (["--tasks", "dcase2017", "--synthetic", "--folds"], "dcase2017 has no folds"),
        (["--seeds=0"], "--seeds must be at least 1; got 0"),
        (["--threads=-1"], "--threads must be at least 1; got -1"),
    ],
)
def test_refused(options, message, tmp_path, monkeypatch):
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
