"""Fig. 10: channel magnitude and excitation of every segment over its loudness, in the bottom six blocks."""

import math

import numpy as np

from samplecnn_hf.analysis import LoudnessRelation, plot_loudness, relate_to_loudness
from training.errors import DataError

TITLE = "Fig. 10: channel magnitude and excitation over loudness, section VII-C"
BLOCK_TYPE = "se"
TOGETHER = False
PAPER = {1: ("rises strongly", "falls")}  # by block
PAPER_ABOVE = ("weaker, higher up", "weaker, higher up")


def analyse(subject, args) -> tuple[list[dict], dict[str, np.ndarray]]:
    try:
        relation = relate_to_loudness(clip for clip, _ in subject.excitations())
    except ValueError as error:  # a single segment
        raise DataError(f"{subject.sounds}: {error}") from error
    correlations = zip(relation.magnitude_correlations, relation.excitation_correlations, strict=True)
    rows = []
    for block, (magnitude, excitation) in enumerate(correlations, start=1):
        paper = PAPER.get(block, PAPER_ABOVE)
        rows.append(
            {
                "model": subject.name,
                "block": block,
                "segments": len(relation.rms),
                "r of magnitude and RMS": _known(magnitude),
                "paper: magnitude": paper[0],
                "r of excitation and RMS": _known(excitation),
                "paper: excitation": paper[1],
            }
        )
    return rows, {"rms": relation.rms, "magnitudes": relation.magnitudes, "excitations": relation.excitations}


def _known(r: float) -> float | None:
    """None where loudness or activation never changes."""
    return None if math.isnan(r) else float(r)


def plots(tables, arrays) -> dict:
    return {"figure_10": plot_loudness(LoudnessRelation(**arrays))}
