"""
Table II: the stems of Fig. 4 with the number of parameters kept the same.

The paper does not give the widths: training/paper.yaml, `fixed_size_stems`, holds those that restore the size of the
default network, for either answer to what figure_4.py asks.
"""

from samplecnn_hf import variants
from training.experiments.figures import figure_4
from training.experiments.grid import Cell, score_row
from training.experiments.plots import plot_scores
from training.paper import PAPER

TITLE = "Table II: filter and stride with a fixed number of parameters (basic blocks), section V-A"

add_arguments = figure_4.add_arguments


def cells(task, args) -> list[Cell]:
    networks = {stem: task.network("basic", f"-stem{stem[0]}x{stem[1]}-fixed") for stem in variants.STEMS}
    networks[3, 3] = task.network("basic")
    return [
        Cell(
            variant,
            {"filter": kernel_size, "stride": stride},
            paper=PAPER["table_2"].get(f"{kernel_size}x{stride}", {}).get(task.recipe.source),
            config=_chosen_fields(task, args, kernel_size, stride),
        )
        for (kernel_size, stride), variant in networks.items()
    ]


def _chosen_fields(task, args, kernel_size: int, stride: int) -> dict:
    fields = figure_4.chosen_fields(args, kernel_size, stride)
    if "first_doubling" in fields:
        stems = PAPER["fixed_size_stems"][int(task.family)]["stems"]
        fields["stem_channels"] = stems[f"{kernel_size}x{stride}"]["kept_width"]
    return fields


def tables(task, trained) -> dict[str, list[dict]]:
    return {"table_2": [score_row(task, run) for run in trained]}


def plots(tables) -> dict:
    rows = [{**row, "filter/stride": f"{row['filter']}/{row['stride']}"} for row in tables["table_2"]]
    return {"table_2": plot_scores(rows, x="filter/stride")}
