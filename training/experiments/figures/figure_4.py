"""
Fig. 4: spectrogram-based CNNs against SampleCNNs, from long windows (filters) and hops (strides) to short ones.

The paper gives the filter, the stride and the number of blocks. It does not say where the channels of the remaining
blocks double, nor what happens where a stride does not divide 22,050 samples. The registry assumes an answer to each;
an option chooses the other.

--channels, of the remaining blocks as multiples of the stem's (`first_doubling`). The authors' code, which has no such
stems, doubles by the index from the bottom: restart.

    stem                restart (assumed)     keep: the upper blocks of the full network
    59,049 samples
    3/3                 1 1 2 2 2 2 2 2 4     the same
    9/9                 1 1 2 2 2 2 2 4       1 2 2 2 2 2 2 4
    27/27               1 1 2 2 2 2 4         2 2 2 2 2 2 4
    81/81, 243/81       1 1 2 2 2 4           2 2 2 2 2 4
    243/243, 729/243    1 1 2 2 4             2 2 2 2 4
    729/729             1 1 2 4               2 2 2 4
    22,050 samples: one block fewer, from 1 1 2 2 2 2 2 4 down to
    729/729             1 1 2                 2 2 4

--partial_frames, of 22,050 samples: zeros before and after them, and frames of the stem or mel-spectrogram. There is
no difference for 59,049 samples, nor for 9/9 and 3/3. Of the authors' own stems (3/3, where it makes none), that of
2018 drops ("valid") and that of 2019 pads ("same").

    stem       drop (assumed)                                          pad: Keras' padding="same"
    729/729    0 + 0       30 frames, the last 180 samples dropped     274 + 275   31 frames
    729/243    243 + 243   90 frames                                   274 + 275   91 frames
    243/243    0 + 0       90 frames, the last 180 samples dropped     31 + 32     91 frames
    243/81     81 + 81     272 frames                                  112 + 113   273 frames
    81/81      0 + 0       272 frames, the last 18 samples dropped     31 + 32     273 frames
    27/27      0 + 0       816 frames, the last 18 samples dropped     4 + 5       817 frames

One frame is left after the last block either way.
"""

import argparse

from samplecnn_hf import list_variants, variants
from samplecnn_hf.configuration_samplecnn import CHOICES
from training.experiments.grid import Cell, score_row
from training.experiments.plots import plot_scores

TITLE = "Fig. 4: mel-spectrogram CNN and SampleCNN by window (filter) and hop (stride), section V-A"


def add_arguments(parser: argparse.ArgumentParser):
    parser.add_argument(
        "--channels",
        choices=("restart", "keep"),
        default="restart",
        help="of the blocks that a longer stem leaves: doubled anew from the stem upwards, or kept as in the full "
        "network (default: %(default)s)",
    )
    add_partial_frames(parser)


def add_partial_frames(parser: argparse.ArgumentParser):
    parser.add_argument(
        "--partial_frames",
        choices=CHOICES["partial_frames"],
        default="drop",
        help="samples left over at the end of a segment where a stride does not divide it (default: %(default)s)",
    )


def partial_frames_field(args: argparse.Namespace) -> dict:
    return {} if args.partial_frames == "drop" else {"partial_frames": args.partial_frames}


def chosen_fields(args: argparse.Namespace, window: int, hop: int) -> dict:
    """Fields in which the config of a network with this stem differs from the registry's."""
    fields = partial_frames_field(args)
    if args.channels == "keep" and (window, hop) in variants.STEMS:
        fewer_blocks, _ = variants.STEMS[window, hop]
        fields["first_doubling"] = max(0, 2 - fewer_blocks)
    return fields


def cells(task, args) -> list[Cell]:
    known = list_variants()
    found = []
    for block_type, block in (("basic", "Basic"), ("se", "SE")):
        for window, hop in variants.STEMS:
            networks = {
                "mel-spectrogram": task.network(f"mel-{block_type}", f"-{window}x{hop}"),
                "waveform": task.network(block_type, f"-stem{window}x{hop}"),
            }
            for front_end, variant in networks.items():
                if variant in known:  # mel-spectrograms stop at 81 samples
                    columns = _columns(front_end, block, window, hop)
                    found.append(Cell(variant, columns, config=chosen_fields(args, window, hop)))
        default = task.network(block_type)
        columns = _columns("waveform", block, 3, 3)
        found.append(Cell(default, columns, task.paper_score(default), config=chosen_fields(args, 3, 3)))
    return found


def _columns(front_end: str, block: str, window: int, hop: int) -> dict:
    return {"front end": front_end, "block": block, "window/hop": f"{window}/{hop}"}


def tables(task, trained) -> dict[str, list[dict]]:
    return {"figure_4": [score_row(task, run) for run in trained]}


def plots(tables) -> dict:
    rows = [{**row, "series": f"{row['front end']}, {row['block']}"} for row in tables["figure_4"]]
    return {"figure_4": plot_scores(rows, x="window/hop", series="series")}
