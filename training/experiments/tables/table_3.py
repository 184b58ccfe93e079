"""Table III: what the blocks cost (parameters, multiply-accumulates, time) and what they reach."""

import argparse

from samplecnn_hf import create_config
from training.experiments.figures.figure_6 import BLOCKS
from training.experiments.grid import Cell, score_row
from training.experiments.plots import plot_scores, plot_trade_off
from training.experiments.step_time import step_seconds
from training.loop.complexity import giga_macs, on_meta_device
from training.paper import PAPER

TITLE = "Table III: complexity and score of the blocks, section V-B2"
TASKS = ("magnatagatune",)
ALPHAS = range(-4, 5)  # exponents of 2


def add_arguments(parser: argparse.ArgumentParser):
    parser.add_argument("--alphas", action="store_true", help="more SE networks: all alphas from 2^-4 to 2^4")


def cells(task, args) -> list[Cell]:
    known = task.recipe.source == "magnatagatune"
    found = [
        _cell(task, row["variant"].partition("-")[0], row.get("overrides", {}), row if known else {})
        for row in PAPER["table_3"]
    ]
    if not args.alphas:
        return found
    default, names = create_config(task.network("se")).se_ratio, {cell.name for cell in found}
    ratios = [2.0**exponent for exponent in ALPHAS if 2.0**exponent != default]
    return found + [cell for ratio in ratios if (cell := _cell(task, "se", {"se_ratio": ratio}, {})).name not in names]


def _cell(task, block_type: str, config: dict, paper: dict) -> Cell:
    config = {name: float(value) for name, value in config.items()}  # 1 and 1.0 are one network, with one name
    variant = task.network(block_type)
    alpha = config.get("se_ratio", create_config(variant).se_ratio) if "se" in block_type else None
    columns = {"block": BLOCKS[block_type], "alpha": alpha, "paper: time": paper.get("time")}
    return Cell(variant, columns, paper.get("score"), config=config)


def tables(task, trained) -> dict[str, list[dict]]:
    cells = tuple(run.cell for run in trained)
    configs = [cell.recipe(task).create_config(task.source.labels, task.source.problem_type) for cell in cells]
    parameters = [on_meta_device(config).num_parameters() for config in configs]
    seconds = step_seconds(task, cells)
    rows = []
    for i, run in enumerate(trained):
        cost = {
            "parameters": parameters[i],
            "parameters / basic": parameters[i] / parameters[0],
            "10^9 MACs": giga_macs(configs[i]),
            "ms a step": 1000 * seconds[i],
            "time / basic": seconds[i] / seconds[0],
        }
        rows.append({"block": None, "alpha": None, **cost, **score_row(task, run)})  # in this order
    return {"table_3": rows}


def plots(tables) -> dict:
    rows = [{**row, "name": _name(row)} for row in tables["table_3"]]
    figures = {"table_3": plot_trade_off(rows, x="time / basic", label="name")}
    se = sorted((row for row in rows if row["block"] == "SE"), key=lambda row: row["alpha"])
    figures["table_3_alphas"] = plot_scores(se, x="alpha")
    return figures


def _name(row: dict) -> str:
    return row["block"] if row["alpha"] is None else f"{row['block']}, alpha {row['alpha']:g}"
