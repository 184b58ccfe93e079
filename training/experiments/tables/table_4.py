"""Table IV: the best of the six blocks, beside the paper's best and the best of others at the time."""

from training.experiments.figures import figure_6
from training.experiments.grid import Cell, score_row
from training.experiments.plots import plot_scores
from training.paper import PAPER

TITLE = "Table IV: the best block against the state of the art of 2019, section V-C"


def cells(task, args) -> list[Cell]:
    """Those of Fig. 6, and the paper's best where it is none of them (footnote 8)."""
    best = _paper(task)
    other = [Cell(best["variant"], {}, config=best["overrides"])] if "overrides" in best else []
    return figure_6.cells(task, args) + other


def _paper(task) -> dict:
    return next((entry for entry in PAPER["table_4"] if entry["dataset"] == task.recipe.source), {})


def tables(task, trained) -> dict[str, list[dict]]:
    rows = [score_row(task, run) for run in trained if run.results]
    best = max(rows, key=lambda row: row["mean"] or 0.0)
    paper = _paper(task)
    return {
        "table_4": [
            {"whose": f"ours: best of {len(rows)} networks", **_columns(best)},
            {"whose": "the paper's best", **_columns({"network": paper.get("variant"), "mean": paper.get("score")})},
            {"whose": f"others' best, [{paper.get('citation', '–')}]", **_columns({"mean": paper.get("others")})},
        ]
    }


def _columns(row: dict) -> dict:
    return {name: row.get(name) for name in ("network", "runs", "mean", "sd")}


def plots(tables) -> dict:
    return {"table_4": plot_scores(tables["table_4"], x="whose", line=False)}
