"""
Fig. 5: max-pooling replaced by striding, from the bottom upwards.

From the third strided convolution on, 22,050 samples leave a number of frames that 3 does not divide (2,450). The rest
is dropped, as in max-pooling: our assumption. `--partial_frames pad` pads it, as Keras does for padding="same".
"""

from samplecnn_hf import create_config
from training.experiments.figures.figure_4 import add_partial_frames, partial_frames_field
from training.experiments.grid import Cell, score_row
from training.experiments.plots import plot_scores

TITLE = "Fig. 5: number of strided convolutions from the bottom (basic blocks), section V-A"

add_arguments = add_partial_frames


def cells(task, args) -> list[Cell]:
    basic = task.network("basic")
    found = []
    for strided in range(create_config(basic).num_blocks + 1):
        variant = basic if strided == 1 else f"{basic}-strided{strided}"  # one strided convolution is the default
        columns = {"strided convolutions": strided}
        found.append(Cell(variant, columns, task.paper_score(variant), config=partial_frames_field(args)))
    return found


def tables(task, trained) -> dict[str, list[dict]]:
    return {"figure_5": [score_row(task, run) for run in trained]}


def plots(tables) -> dict:
    return {"figure_5": plot_scores(tables["figure_5"], x="strided convolutions")}
