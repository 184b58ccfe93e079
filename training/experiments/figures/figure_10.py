"""Fig. 10: channel magnitude and excitation of every segment over its loudness, in the bottom six blocks."""

import math

from samplecnn_hf.analysis import LoudnessRelation, plot_loudness, relate_to_loudness
from training.errors import DataError
from training.experiments.experiment import Analysis

PAPER_FIRST_BLOCK = ("rises strongly", "falls")
PAPER_OTHER_BLOCKS = ("weaker, higher up", "weaker, higher up")


class Figure10(Analysis):
    name = "figure_10"
    title = "Fig. 10: channel magnitude and excitation over loudness, section VII-C"

    def analyze(self, network):
        try:
            relation = relate_to_loudness(clip for clip, _ in network.excitations())
        except ValueError as error:  # a single segment
            raise DataError(f"{network.clips}: {error}") from error
        correlations = zip(relation.magnitude_correlations, relation.excitation_correlations, strict=True)
        rows = []
        for block, (magnitude, excitation) in enumerate(correlations, start=1):
            paper_magnitude, paper_excitation = PAPER_FIRST_BLOCK if block == 1 else PAPER_OTHER_BLOCKS
            rows.append(
                {
                    "model": network.name,
                    "block": block,
                    "segments": len(relation.rms),
                    "r of magnitude and RMS": _none_if_nan(magnitude),
                    "paper: magnitude": paper_magnitude,
                    "r of excitation and RMS": _none_if_nan(excitation),
                    "paper: excitation": paper_excitation,
                }
            )
        return rows, {"rms": relation.rms, "magnitudes": relation.magnitudes, "excitations": relation.excitations}

    def plot(self, rows, arrays):
        return plot_loudness(LoudnessRelation(**arrays))


def _none_if_nan(r: float) -> float | None:
    """Convert a correlation for JSON: NaN (constant loudness or activation) becomes None."""
    return None if math.isnan(r) else float(r)
