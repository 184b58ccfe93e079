"""Table IV: the best of the six blocks, the paper's best score and the best score of others at the time."""

from training.experiments.experiment import GridExperiment
from training.experiments.figures.figure_6 import Figure6
from training.experiments.grid import Network, score_row
from training.experiments.plots import plot_scores
from training.paper import PAPER


class Table4(GridExperiment):
    name = "table_4"
    title = "Table IV: the best block against the state of the art of 2019, section V-C"

    def networks(self, task):
        """Those of Fig. 6, and the paper's best if it is not among them (footnote 8)."""
        best = paper_row(task.recipe.source)
        other = [Network(best["variant"], {}, model_kwargs=best["overrides"])] if "overrides" in best else []
        return Figure6().networks(task) + other

    def tables(self, task, trained):
        rows = [score_row(task, results) for results in trained if results.runs]
        best = max(rows, key=lambda row: row["mean"] or 0.0)
        paper = paper_row(task.recipe.source)
        table = [
            {"whose": f"ours: best of {len(rows)} networks", **_columns(best)},
            {"whose": "the paper's best", **_columns({"network": paper.get("variant"), "mean": paper.get("score")})},
            {"whose": f"others' best, [{paper.get('citation', '–')}]", **_columns({"mean": paper.get("others")})},
        ]
        return {"table_4": table}

    def plots(self, tables):
        return {"table_4": plot_scores(tables["table_4"], x="whose", line=False)}


def paper_row(source_name: str) -> dict:
    """The paper's row for a dataset; {} where there is none."""
    return next((row for row in PAPER["table_4"] if row["dataset"] == source_name), {})


def _columns(row: dict) -> dict:
    return {name: row.get(name) for name in ("network", "runs", "mean", "sd")}
