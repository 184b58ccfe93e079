"""Table II: the stems of Fig. 4 with the number of parameters kept the same."""

from samplecnn_hf import variants
from training.experiments.grid import Cell, score_row
from training.experiments.plots import plot_scores
from training.experiments.tasks import PAPER

TITLE = "Table II: filter and stride with a fixed number of parameters (basic blocks), section V-A"


def cells(task, args) -> list[Cell]:
    networks = {stem: task.network("basic", f"-stem{stem[0]}x{stem[1]}-fixed") for stem in variants.STEMS}
    networks[3, 3] = task.network("basic")
    return [
        Cell(
            variant,
            {"filter": kernel_size, "stride": stride},
            paper=PAPER["table_2"].get(f"{kernel_size}x{stride}", {}).get(task.recipe.source),
        )
        for (kernel_size, stride), variant in networks.items()
    ]


def tables(task, trained) -> dict[str, list[dict]]:
    return {"table_2": [score_row(task, run) for run in trained]}


def plots(tables) -> dict:
    rows = [{**row, "filter/stride": f"{row['filter']}/{row['stride']}"} for row in tables["table_2"]]
    return {"table_2": plot_scores(rows, x="filter/stride")}
