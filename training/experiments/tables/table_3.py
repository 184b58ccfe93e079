"""Table III: cost of the blocks (parameters, multiply-accumulates, training time) and their scores."""

from dataclasses import dataclass

from samplecnn_hf import create_config
from training.experiments.experiment import GridExperiment
from training.experiments.grid import Network, score_row
from training.experiments.plots import plot_scores, plot_trade_off
from training.experiments.task import Task
from training.options import option
from training.paper import BLOCK_NAMES, PAPER

ALPHAS = [2.0**exponent for exponent in range(-4, 5)]


@dataclass(frozen=True)
class Table3(GridExperiment):
    alphas: bool = option(False, "train more SE networks: all alphas from 2^-4 to 2^4")

    name = "table_3"
    title = "Table III: complexity and score of the blocks, section V-B2"
    default_tasks = ("magnatagatune",)

    def networks(self, task):
        measured = task.recipe.source == "magnatagatune"
        networks = [
            _network(task, row["variant"].partition("-")[0], row.get("overrides", {}), row if measured else {})
            for row in PAPER["table_3"]
        ]
        if self.alphas:
            known = {network.columns["alpha"] for network in networks if network.columns["block"] == BLOCK_NAMES["se"]}
            networks += [_network(task, "se", {"se_ratio": alpha}, {}) for alpha in ALPHAS if alpha not in known]
        return networks

    def tables(self, task, trained):
        rows = []
        for results in trained:
            run = results.runs[0] if results.runs else {"parameters": None, "giga_macs": None}
            # The fastest epoch of all runs: other load on the machine only ever adds to the time.
            seconds = min((epoch["seconds"] for run in results.runs for epoch in run["history"]), default=None)
            cost = {"parameters": run["parameters"], "10^9 MACs": run["giga_macs"], "s per epoch": seconds}
            rows.append({"block": None, "alpha": None, **cost, **score_row(task, results)})  # in this order
        for row in rows:
            row["parameters / basic"] = _ratio(row["parameters"], rows[0]["parameters"])
            row["time / basic"] = _ratio(row["s per epoch"], rows[0]["s per epoch"])
        return {"table_3": rows}

    def plots(self, tables):
        rows = [{**row, "name": _label(row)} for row in tables["table_3"]]
        se = sorted((row for row in rows if row["block"] == "SE"), key=lambda row: row["alpha"])
        return {
            "table_3": plot_trade_off(rows, x="time / basic", label="name"),
            "table_3_alphas": plot_scores(se, x="alpha"),
        }


def _network(task: Task, block_type: str, kwargs: dict, paper: dict) -> Network:
    kwargs = {name: float(value) for name, value in kwargs.items()}  # 1 and 1.0 are one network, with one name
    variant = task.variant(block_type)
    alpha = kwargs.get("se_ratio", create_config(variant).se_ratio) if "se" in block_type else None
    columns = {"block": BLOCK_NAMES[block_type], "alpha": alpha, "paper: time": paper.get("time")}
    return Network(variant, columns, paper.get("score"), kwargs)


def _ratio(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None


def _label(row: dict) -> str:
    return row["block"] if row["alpha"] is None else f"{row['block']}, alpha {row['alpha']:g}"
