"""
Relation of loudness to the excitations of squeeze-and-excitation blocks (section VII-C, Fig. 10).

    record = ExcitationRecorder(model, extractor)
    relation = relate_to_loudness(record(waveform, rate) for waveform, rate in clips)
    relation.magnitude_correlations, relation.excitation_correlations
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .excitations import ClipExcitations

NUM_BLOCKS = 6  # lowest blocks, as in Fig. 10


def dbfs(level: np.ndarray) -> np.ndarray:
    """Convert a linear RMS to dBFS: 0 for an RMS of 1 (-3.01 for a full-scale sine), -inf for silence."""
    with np.errstate(divide="ignore"):
        return 20 * np.log10(level)


@dataclass(frozen=True)
class LoudnessRelation:
    """
    The data of Fig. 10: one point per segment and block.

    Attributes:
        rms: Root mean square of each segment, 1 for full scale [segments].
        magnitudes: Channel magnitude, averaged over the channels [blocks, segments].
        excitations: Excitation in (0, 1), averaged over the channels [blocks, segments].
    """

    rms: np.ndarray
    magnitudes: np.ndarray
    excitations: np.ndarray

    @property
    def magnitude_correlations(self) -> np.ndarray:
        """Pearson's r of magnitude and RMS per block; NaN where either is constant [blocks]."""
        return _correlations(self.magnitudes, self.rms)

    @property
    def excitation_correlations(self) -> np.ndarray:
        """Pearson's r of excitation and RMS per block; NaN where either is constant [blocks]."""
        return _correlations(self.excitations, self.rms)


def relate_to_loudness(clips: Iterable[ClipExcitations], num_blocks: int = NUM_BLOCKS) -> LoudnessRelation:
    """
    Collect the RMS, channel magnitude and excitation of every segment.

    Args:
        clips: Output of an `ExcitationRecorder` for each clip.
        num_blocks: Number of lowest blocks to include; all if the network has fewer.

    Raises:
        ValueError: There are fewer than two segments.
    """
    levels, magnitudes, excitations = [], [], []
    for clip in clips:
        levels.append(clip.rms)
        magnitudes.append([block.mean(1) for block in clip.magnitudes[:num_blocks]])
        excitations.append([block.mean(1) for block in clip.excitations[:num_blocks]])
    if sum(map(len, levels)) < 2:
        raise ValueError("a correlation needs at least two segments: give more clips")
    return LoudnessRelation(
        np.concatenate(levels), np.concatenate(magnitudes, axis=1), np.concatenate(excitations, axis=1)
    )


def _correlations(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Pearson's r of each row [rows, n] with `values` [n]: [rows]."""
    rows = rows - rows[:, :1].astype(np.float64)  # exact zeros where a row is constant
    rows, values = rows - rows.mean(1, keepdims=True), values - values.mean()
    with np.errstate(invalid="ignore"):
        return rows @ values / np.sqrt(np.square(rows).sum(1) * np.square(values).sum())
