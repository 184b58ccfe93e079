"""
Fig. 5: max-pooling replaced by striding, from the bottom upwards.

With 22,050 samples and three or more strided convolutions their input is not a multiple of 3 (2,450 frames): like
max-pooling they drop what is left over (`--partial_frames drop`, our assumption), or pad it as in Keras.
"""

from samplecnn_hf import create_config
from training.experiments.figure_4 import add_partial_frames
from training.experiments.grid import Cell, score_row
from training.experiments.plots import plot_scores

TITLE = "Fig. 5: number of strided convolutions from the bottom (basic blocks), section V-A"

add_arguments = add_partial_frames


def cells(task, args) -> list[Cell]:
    basic = task.network("basic")
    found, fields = [], {} if args.partial_frames == "drop" else {"partial_frames": args.partial_frames}
    for strided in range(create_config(basic).num_blocks + 1):
        variant = basic if strided == 1 else f"{basic}-strided{strided}"  # one strided convolution is the default
        columns = {"strided convolutions": strided}
        found.append(Cell(variant, columns, task.paper_score(variant), config=fields))
    return found


def tables(task, trained) -> dict[str, list[dict]]:
    return {"figure_5": [score_row(task, run) for run in trained]}


def plots(tables) -> dict:
    return {"figure_5": plot_scores(tables["figure_5"], x="strided convolutions")}
