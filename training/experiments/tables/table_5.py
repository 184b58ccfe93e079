"""Table V and Fig. 11: every segment brought to zero mean and unit variance, or left as it is."""

from statistics import fmean

from training.experiments.figures.figure_6 import BLOCKS
from training.experiments.grid import Cell, Trained, score_row
from training.experiments.plots import plot_differences, plot_scores
from training.paper import PAPER

TITLE = "Table V and Fig. 11: segments normalised or not, and what it changes for each label, section VII-D"


def cells(task, args) -> list[Cell]:
    found = []
    for block_type in ("basic", "se"):
        variant = task.network(block_type)
        known = (row for row in PAPER["table_5"] if (row["dataset"], row["variant"]) == (task.recipe.source, variant))
        paper = next(known, {})
        for kind, options in (("normalized", {"do_normalize": True}), ("plain", {})):
            columns = {"block": BLOCKS[block_type], "input": kind}
            score = paper.get(kind, {})
            found.append(Cell(variant, columns, score.get("mean"), score.get("sd"), options=options))
    return found


def tables(task, trained) -> dict[str, list[dict]]:
    tables = {"table_5": [score_row(task, run) for run in trained]}
    normalized, plain = (run for run in trained if run.cell.columns["block"] == BLOCKS["se"])
    rows = differences(task, plain, normalized)
    return tables | ({"figure_11": rows} if rows else {})  # both networks are there, and labels that can be scored


def differences(task, plain: Trained, normalized: Trained) -> list[dict]:
    """Score of each label without normalisation minus that with it, the largest first; means over the runs."""
    metric = {"roc_auc": "roc_auc", "accuracy": "f1"}.get(task.source.metric, "f1@0.1")
    before, after = (label_scores(run, task.split, metric) for run in (plain, normalized))
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


def label_scores(run: Trained, split: str, metric: str) -> dict[str, float]:
    """Mean over the runs; labels that cannot be scored are left out."""
    scores = {}
    for results in run.results:
        for row in results["per_label"][split]:
            if row[metric] is not None:
                scores.setdefault(row["label"], []).append(row[metric])
    return {label: fmean(values) for label, values in scores.items()}


def plots(tables) -> dict:
    figures = {"table_5": plot_scores(tables["table_5"], x="block", series="input", line=False)}
    if "figure_11" in tables:
        figures["figure_11"] = plot_differences(tables["figure_11"], "plain - normalized")
    return figures
