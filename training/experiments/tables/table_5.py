"""Table V and Fig. 11: training with and without normalization of the segments to zero mean and unit variance."""

from statistics import fmean

from training.experiments.experiment import GridExperiment
from training.experiments.grid import Network, NetworkResults
from training.experiments.plots import plot_differences, plot_scores
from training.experiments.task import Task
from training.paper import BLOCK_NAMES, PAPER


class Table5(GridExperiment):
    name = "table_5"
    title = (
        "Table V and Fig. 11: scores with and without normalization of the segments, per task and label, section VII-D"
    )

    def networks(self, task):
        networks = []
        for block_type in ("basic", "se"):
            variant = task.variant(block_type)
            key = (task.recipe.source, variant)
            paper = next((row for row in PAPER["table_5"] if (row["dataset"], row["variant"]) == key), {})
            for kind, value in (("normalized", True), ("plain", False)):
                changes = {} if task.recipe.do_normalize == value else {"do_normalize": value}
                columns = {"block": BLOCK_NAMES[block_type], "input": kind}
                score = paper.get(kind, {})
                networks.append(
                    Network(variant, columns, score.get("mean"), paper_sd=score.get("sd"), recipe_changes=changes)
                )
        return networks

    def tables(self, task, trained):
        normalized, plain = (results for results in trained if results.network.columns["block"] == BLOCK_NAMES["se"])
        rows = label_differences(task, plain, normalized)
        return super().tables(task, trained) | ({"figure_11": rows} if rows else {})

    def plots(self, tables):
        figures = {"table_5": plot_scores(tables["table_5"], x="block", series="input", line=False)}
        if "figure_11" in tables:
            figures["figure_11"] = plot_differences(tables["figure_11"], "label", "plain - normalized")
        return figures


def label_differences(task: Task, plain: NetworkResults, normalized: NetworkResults) -> list[dict]:
    """Score per label without normalization minus that with it, mean over the runs, in descending order."""
    metric = {"roc_auc": "roc_auc", "accuracy": "f1"}.get(task.source.metric, "f1@0.1")
    before, after = (_label_scores(results, task.source.scored_split, metric) for results in (plain, normalized))
    rows = [
        {
            "label": label,
            "score": metric,
            "plain": score,
            "normalized": after[label],
            "plain - normalized": score - after[label],
        }
        for label, score in before.items()
        if label in after
    ]
    return sorted(rows, key=lambda row: -row["plain - normalized"])


def _label_scores(results: NetworkResults, split: str, metric: str) -> dict[str, float]:
    """Mean over the runs, without labels that cannot be scored."""
    scores = {}
    for run in results.runs:
        for row in run["per_label"][split]:
            if row[metric] is not None:
                scores.setdefault(row["label"], []).append(row[metric])
    return {label: fmean(values) for label, values in scores.items()}
