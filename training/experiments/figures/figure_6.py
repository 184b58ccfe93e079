"""Fig. 6: the six convolutional blocks, and whether the three best of them differ (t-tests of section V-B1)."""

from itertools import combinations
from statistics import stdev

from scipy.stats import ttest_ind

from training.experiments.grid import Cell, mean_and_sd, score_row
from training.experiments.plots import plot_scores
from training.paper import PAPER

TITLE = "Fig. 6: six convolutional blocks, with the t-tests between the three best of the paper, section V-B"
BLOCKS = {"basic": "Basic", "se": "SE", "res1": "Res-1", "res2": "Res-2", "rese1": "ReSE-1", "rese2": "ReSE-2"}
BEST = ("se", "res2", "rese2")


def cells(task, args) -> list[Cell]:
    networks = {block: task.network(block_type) for block_type, block in BLOCKS.items()}
    return [Cell(variant, {"block": block}, paper=task.paper_score(variant)) for block, variant in networks.items()]


def tables(task, trained) -> dict[str, list[dict]]:
    rows = [score_row(task, run) for run in trained]
    if task.source.metric == "roc_auc":  # the paper's second metric for music
        for row, run in zip(rows, trained, strict=True):
            pr_auc = mean_and_sd(run.scores(task.split, "pr_auc"))
            row |= {"PR-AUC mean": pr_auc["mean"], "PR-AUC sd": pr_auc["sd"]}
    scores = {run.cell.variant: run.scores(task.split, task.source.metric) for run in trained}
    best = [task.network(block_type) for block_type in BEST]
    return {"figure_6": rows, "figure_6_t_tests": [_compare(task, scores, *pair) for pair in combinations(best, 2)]}


def _compare(task, scores: dict[str, list[float]], first: str, second: str) -> dict:
    """Two-sided t-test over the runs, beside the p-value that the paper gives."""
    paper = [
        entry
        for entry in PAPER["p_values"]
        if entry["dataset"] == task.recipe.source and {entry["better"], entry["worse"]} == {first, second}
    ]
    a, b = scores[first], scores[second]
    if min(len(a), len(b)) < 2:
        p = "needs --seeds 2 or more"
    else:
        p = float(ttest_ind(a, b).pvalue) if stdev(a) or stdev(b) else "the scores do not vary"
    return {
        "first": first,
        "second": second,
        "difference of means": sum(a) / len(a) - sum(b) / len(b) if a and b else None,
        "p": p,
        "paper: better": paper[0]["better"] if paper else None,
        "paper: p": paper[0]["p"] if paper else None,
    }


def plots(tables) -> dict:
    return {"figure_6": plot_scores(tables["figure_6"], x="block", line=False)}
