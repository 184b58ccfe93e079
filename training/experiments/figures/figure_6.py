"""Fig. 6: the six convolutional blocks, and whether the three best of them differ (t-tests of section V-B1)."""

from itertools import combinations
from statistics import fmean, stdev

from scipy.stats import ttest_ind

from training.experiments.experiment import GridExperiment
from training.experiments.grid import Network, mean_and_sd
from training.experiments.plots import plot_scores
from training.paper import BLOCK_NAMES, PAPER

BEST = ("se", "res2", "rese2")


class Figure6(GridExperiment):
    name = "figure_6"
    title = "Fig. 6: six convolutional blocks, with the t-tests between the three best of the paper, section V-B"

    def networks(self, task):
        variants = {block: task.variant(block_type) for block_type, block in BLOCK_NAMES.items()}
        return [Network(variant, {"block": block}, task.paper_score(variant)) for block, variant in variants.items()]

    def tables(self, task, trained):
        tables = super().tables(task, trained)
        if task.source.metric == "roc_auc":  # the paper's second metric for music
            for row, results in zip(tables["figure_6"], trained, strict=True):
                pr_auc = mean_and_sd(results.scores(task.source.scored_split, "pr_auc"))
                row |= {"PR-AUC mean": pr_auc["mean"], "PR-AUC sd": pr_auc["sd"]}
        scores = {
            results.network.variant: results.scores(task.source.scored_split, task.source.metric)
            for results in trained
        }
        best = [task.variant(block_type) for block_type in BEST]
        t_tests = [t_test(task.recipe.source, scores, *pair) for pair in combinations(best, 2)]
        return tables | {"figure_6_t_tests": t_tests}

    def plots(self, tables):
        return {"figure_6": plot_scores(tables["figure_6"], x="block", line=False)}


def t_test(source_name: str, scores: dict[str, list[float]], first: str, second: str) -> dict:
    """Two-sided t-test between the runs of two networks, beside the paper's p-value."""
    paper = [
        entry
        for entry in PAPER["p_values"]
        if entry["dataset"] == source_name and {entry["better"], entry["worse"]} == {first, second}
    ]
    a, b = scores[first], scores[second]
    if min(len(a), len(b)) < 2:
        p = "needs --seeds 2 or more"
    else:
        p = float(ttest_ind(a, b).pvalue) if stdev(a) or stdev(b) else "the scores do not vary"
    return {
        "first": first,
        "second": second,
        "difference of means": fmean(a) - fmean(b) if a and b else None,
        "p": p,
        "paper: better": paper[0]["better"] if paper else None,
        "paper: p": paper[0]["p"] if paper else None,
    }
