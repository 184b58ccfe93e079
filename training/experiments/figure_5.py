"""Fig. 5: max-pooling replaced by striding, from the bottom upwards."""

from samplecnn_hf import create_config
from training.experiments.grid import Cell, score_row
from training.experiments.plots import plot_scores

TITLE = "Fig. 5: number of strided convolutions from the bottom (basic blocks), section V-A"


def cells(task, args) -> list[Cell]:
    basic = task.network("basic")
    found = []
    for strided in range(create_config(basic).num_blocks + 1):
        variant = basic if strided == 1 else f"{basic}-strided{strided}"  # one strided convolution is the default
        found.append(Cell(variant, {"strided convolutions": strided}, paper=task.paper_score(variant)))
    return found


def tables(task, trained) -> dict[str, list[dict]]:
    return {"figure_5": [score_row(task, run) for run in trained]}


def plots(tables) -> dict:
    return {"figure_5": plot_scores(tables["figure_5"], x="strided convolutions")}
