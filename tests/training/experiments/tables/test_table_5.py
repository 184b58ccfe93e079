"""Table V and Fig. 11: the paper's finding (section VII-D) in a small network."""

from dataclasses import replace

import pytest

from training.experiments.tables.table_5 import Table5, label_differences
from training.experiments.task import Task


@pytest.mark.parametrize("do_normalize", [False, True])
def test_both_kinds_of_input_whatever_the_recipe_has(paper_task, do_normalize):
    task = Task(replace(paper_task("speech_commands").recipe, do_normalize=do_normalize))
    networks = Table5().networks(task)
    for network in networks:
        assert network.recipe(task).do_normalize == (network.columns["input"] == "normalized")
    assert sum(not network.recipe_changes for network in networks) == 2


def test_normalization_hurts_labels_of_loudness_most(trained_on_loudness):
    task, results = trained_on_loudness
    rows = label_differences(task, results["plain"], results["normalized"])
    assert [row["plain - normalized"] for row in rows] == sorted(
        (row["plain"] - row["normalized"] for row in rows), reverse=True
    )
    assert {row["label"] for row in rows[:2]} == {"loud", "quiet"} and rows[1]["plain - normalized"] > 0.2
    assert {row["label"] for row in rows[2:]} == {"high", "low"} and rows[2]["plain - normalized"] < 0.1
