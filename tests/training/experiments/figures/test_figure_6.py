"""Fig. 6: scores of a grid, and the t-tests between the best blocks."""

from types import SimpleNamespace

import pytest
from scipy.stats import ttest_ind

from training.experiments.figures.figure_6 import Figure6
from training.experiments.grid import NetworkResults
from training.experiments.task import Task


@pytest.fixture
def tables(monkeypatch, paper_task):
    """tables({variant: scores}): the tables of runs with these scores on MagnaTagATune."""
    monkeypatch.setattr(Task, "source", SimpleNamespace(metric="roc_auc", scored_split="test"))
    task = paper_task("magnatagatune")

    def results(score: float) -> dict:
        return {"metrics": {"test": {"roc_auc": score, "pr_auc": score / 2}}}

    def tables(scores: dict[str, list[float]]) -> dict:
        networks = Figure6().networks(task)
        runs = [NetworkResults(network, list(map(results, scores.get(network.variant, [])))) for network in networks]
        return Figure6().tables(task, runs)

    return tables


def test_t_tests_beside_the_papers(tables):
    scores = {"se-9": [0.9, 0.91, 0.905], "rese2-9": [0.89, 0.9, 0.88], "res2-9": [0.7, 0.71, 0.7]}
    tables = tables(scores)
    compared = {(row["first"], row["second"]): row for row in tables["figure_6_t_tests"]}
    assert len(compared) == 3
    row = compared["se-9", "rese2-9"]
    assert row["p"] == pytest.approx(ttest_ind(scores["se-9"], scores["rese2-9"]).pvalue)
    assert row["difference of means"] == pytest.approx(0.015)
    assert (row["paper: better"], row["paper: p"]) == ("se-9", 0.26)
    row = next(row for row in tables["figure_6"] if row["network"] == "se-9")
    assert (row["mean"], row["sd"]) == pytest.approx((0.905, 0.005))
    assert (row["PR-AUC mean"], row["PR-AUC sd"]) == pytest.approx((0.4525, 0.0025))


@pytest.mark.parametrize(("scores", "p"), [([0.9], "needs --seeds 2 or more"), ([0.9, 0.9], "the scores do not vary")])
def test_scores_that_a_t_test_cannot_compare(tables, scores, p):
    rows = tables({"se-9": scores, "res2-9": scores, "rese2-9": scores})["figure_6_t_tests"]
    assert [row["p"] for row in rows] == [p] * 3
