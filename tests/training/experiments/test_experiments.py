"""The registry of experiments, and every grid experiment from its command to its files."""

import csv
import json

import pytest

from samplecnn_hf import create_config
from training.experiments import EXPERIMENTS
from training.experiments import __main__ as experiments
from training.experiments.output import markdown
from training.experiments.task import PAPER_TASKS
from training.paper import PAPER


@pytest.mark.parametrize("task", PAPER_TASKS)
def test_networks_of_the_paper(task, paper_task):
    task = paper_task(task)
    blocks = 9 if task.family == "9" else 8
    counts = {"figure_4": 26, "table_2": 8, "figure_5": blocks + 1, "figure_6": 6, "table_3": 8, "table_4": 6}
    networks = {name: EXPERIMENTS[name]().networks(task) for name in [*counts, "table_5"]}
    for name, count in {**counts, "table_5": 4}.items():
        assert len({network.name for network in networks[name]}) == len(networks[name]) == count
        assert all(create_config(network.variant).num_blocks <= blocks for network in networks[name])
    assert [network.paper for network in networks["table_2"]] == [
        scores[task.recipe.source] for scores in PAPER["table_2"].values()
    ]
    known = {network.variant: network.paper for network in networks["figure_6"] if network.paper}
    assert known == PAPER["figure_6"][task.recipe.source]
    # The plain runs of Table V are those of Fig. 6.
    assert {network.name for network in networks["table_5"]} & {network.name for network in networks["figure_6"]} == {
        task.variant("basic"),
        task.variant("se"),
    }


def test_files_of_every_experiment_and_shared_runs(run, on_tones, trained, tmp_path, capsys):
    new = {
        "figure_4": 8,
        "table_2": 2,
        "figure_5": 5,
        "figure_6": 4,
        "table_3": 2,
        "table_4": 0,
        "table_5": 2,
        "ablation": 5,
    }
    folder = tmp_path / "experiments" / "results" / "tones"
    for name, count in new.items():
        before = len(trained)
        result = run(name, *on_tones, "--seeds=1")
        assert len(trained) - before == count, f"{name} trained {trained[before:]}"
        assert result["runs"]["finished"] == result["runs"]["planned"]
        assert (result["metric"], result["split"], result["synthetic"]) == ("accuracy", "test", False)
        tables = markdown(result, EXPERIMENTS[name].title)
        assert f"\n\n{tables}\n\n" in capsys.readouterr().out
        page = (folder / f"{name}.md").read_text()
        assert page.startswith(tables) and f"\n{result['command']}\n" in page
        for table, rows in result["tables"].items():
            with (folder / f"{table}.csv").open(newline="") as file:
                read = list(csv.DictReader(file))
            assert [[line[column] for column in row] for line, row in zip(read, rows, strict=True)] == [
                ["" if value is None else str(value) for value in row.values()] for row in rows
            ]
            assert all(line["command"] == result["command"] and line["data"] == "tones" for line in read)
        pictures = [line.removeprefix("![").partition("]")[0] for line in page.splitlines() if line.startswith("![")]
        assert name in pictures
        for picture in pictures:
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
        assert row["s per epoch"] == results["history"][0]["seconds"]


def test_quick_check_on_synthetic_music(run, on_chords, tmp_path, capsys):
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

    # Analyses share the trained networks.
    count = len(list((tmp_path / "experiments" / "magnatagatune-synthetic-quick").iterdir()))
    analyzed = run("figure_8", *on_chords, "--quick")
    assert {row["model"] for row in analyzed["tables"]["figure_8"]} == {"magnatagatune-synthetic-quick"}
    assert "synthetic clips of the test split" in analyzed["what"] and analyzed["quick"]
    assert len(list((tmp_path / "experiments" / "magnatagatune-synthetic-quick").iterdir())) == count


def test_folds_instead_of_seeds(run, on_tones, folds, trained, tmp_path, capsys):
    result = run("table_2", *on_tones, "--folds", "--num_epochs=2")
    assert trained == [
        f"basic-8{stem}-fold{n}" for n in (1, 2, 3) for stem in ("-stem27x27-fixed", "-stem9x9-fixed", "")
    ]
    assert (
        "accuracy on 3 folds of tones (about 21 clips each), each held out of one training and scored after its last"
        in capsys.readouterr().out
    )
    runs = [
        json.loads((tmp_path / "experiments" / "tones" / f"basic-8-fold{n}" / "results.json").read_text())
        for n in (1, 2, 3)
    ]
    assert [results["kept_epoch"] for results in runs] == [2, 2, 2]
    assert [results["clips"]["validation"] for results in runs] == [21, 21, 18]
    row = next(row for row in result["tables"]["table_2"] if row["network"] == "basic-8")
    assert row["mean"] == pytest.approx(sum(results["metrics"]["validation"]["accuracy"] for results in runs) / 3)
    assert row["runs"] == 3 and row["sd"] is not None


def test_a_recipe_that_overrides_what_the_networks_differ_in(on_tones, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(recipe.read_text() + "model_kwargs: {num_blocks: 3}\n")
    with pytest.raises(SystemExit, match="error: .* num_blocks, in which the networks of this experiment differ"):
        experiments.main(["figure_4", *on_tones])
    assert not (tmp_path / "experiments").exists()
