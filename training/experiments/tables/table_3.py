"""Table III: cost of the blocks (parameters, multiply-accumulates, time) and their scores."""

import time
from dataclasses import dataclass
from functools import cache

import torch

from samplecnn_hf import create_config
from training.experiments.experiment import GridExperiment
from training.experiments.figures.figure_6 import BLOCKS
from training.experiments.grid import Network, score_row
from training.experiments.plots import plot_scores, plot_trade_off
from training.experiments.task import Task
from training.loop.complexity import giga_macs
from training.loop.metrics import loss_function
from training.loop.run import create_accelerator
from training.loop.training_run import create_model, create_optimizer
from training.options import option
from training.paper import PAPER

ALPHAS = [2.0**exponent for exponent in range(-4, 5)]
WARM_UP, ROUNDS = 1, 5


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
            known = {network.columns["alpha"] for network in networks if network.columns["block"] == BLOCKS["se"]}
            networks += [_network(task, "se", {"se_ratio": alpha}, {}) for alpha in ALPHAS if alpha not in known]
        return networks

    def tables(self, task, trained):
        costs = cost_of_networks(task, tuple(results.network for results in trained))
        rows = []
        for cost, results in zip(costs, trained, strict=True):
            relative = {
                "parameters": cost["parameters"],
                "parameters / basic": cost["parameters"] / costs[0]["parameters"],
                "10^9 MACs": cost["giga_macs"],
                "ms per step": 1000 * cost["seconds"],
                "time / basic": cost["seconds"] / costs[0]["seconds"],
            }
            rows.append({"block": None, "alpha": None, **relative, **score_row(task, results)})  # in this order
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
    columns = {"block": BLOCKS[block_type], "alpha": alpha, "paper: time": paper.get("time")}
    return Network(variant, columns, paper.get("score"), kwargs)


def _label(row: dict) -> str:
    return row["block"] if row["alpha"] is None else f"{row['block']}, alpha {row['alpha']:g}"


@cache  # the tables of a task are updated after each of its runs
def cost_of_networks(task: Task, networks: tuple[Network, ...]) -> list[dict]:
    """Parameters, multiply-accumulates and seconds per training step (the fastest round) of each network.

    The networks take turns, so other load on the machine affects all alike. An epoch on the same data has the same
    number of steps, so ratios of these times are those of the paper's epochs.
    """
    source, accelerator = task.source, create_accelerator(task.recipe)
    costs, steps = [], []
    for network in networks:
        recipe = network.recipe(task)
        model, extractor = create_model(recipe, source)
        costs.append({"parameters": model.num_parameters(), "giga_macs": giga_macs(model.config), "seconds": []})
        model, optimizer = accelerator.prepare(model.train(), create_optimizer(recipe, model))
        steps.append((model, optimizer, 0.1 * torch.randn(recipe.batch_size, extractor.segment_length)))
    targets = torch.eye(len(source.labels))[torch.arange(task.recipe.batch_size) % len(source.labels)]
    targets = targets.to(accelerator.device)

    for _ in range(WARM_UP + (1 if task.quick else ROUNDS)):
        for cost, (model, optimizer, segments) in zip(costs, steps, strict=True):
            start = time.perf_counter()
            logits = model(segments.to(accelerator.device)).logits
            loss = loss_function(logits.float(), targets, source.multi_label)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            loss.item()  # waits for the device
            cost["seconds"].append(time.perf_counter() - start)
    return [{**cost, "seconds": min(cost["seconds"][WARM_UP:])} for cost in costs]
