"""
Loudness, and what squeeze-and-excitation blocks make of it (section VII-C, Fig. 10).

    record = ExcitationRecorder(model, extractor)
    relation = relate_to_loudness(record(waveform, rate) for waveform, rate in clips)
    relation.magnitude_correlations, relation.excitation_correlations
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .excitations import ClipExcitations

NUM_BLOCKS = 6  # of Fig. 10, from the bottom


def rms(waveforms: np.ndarray) -> np.ndarray:
    """Root mean square of float waveforms [..., samples], 1 for full scale [...]."""
    return np.sqrt(np.square(waveforms, dtype=np.float64).mean(-1))


def dbfs(level: np.ndarray) -> np.ndarray:
    """A linear RMS in dBFS, 0 for an RMS of 1 (so -3.01 for a full-scale sine); silence is -inf."""
    with np.errstate(divide="ignore"):
        return 20 * np.log10(level)


@dataclass(frozen=True)
class LoudnessRelation:
    """
    The dots of Fig. 10: one for each segment and block.

    Attributes:
        rms: root mean square of each segment, 1 for full scale [segments].
        magnitudes: mean over the channels of the channel magnitude [blocks, segments].
        excitations: mean over the channels of the excitation, in (0, 1) [blocks, segments].
    """

    rms: np.ndarray
    magnitudes: np.ndarray
    excitations: np.ndarray

    @property
    def magnitude_correlations(self) -> np.ndarray:
        """Pearson's r of magnitude and RMS in each block, from -1 to 1; NaN where either is constant [blocks]."""
        return _correlations(self.magnitudes, self.rms)

    @property
    def excitation_correlations(self) -> np.ndarray:
        """Pearson's r of excitation and RMS in each block, from -1 to 1; NaN where either is constant [blocks]."""
        return _correlations(self.excitations, self.rms)


def relate_to_loudness(clips: Iterable["ClipExcitations"], num_blocks: int = NUM_BLOCKS) -> LoudnessRelation:
    """
    Collect RMS, channel magnitude and excitation of every segment of clips.

    Args:
        clips: what an `ExcitationRecorder` recorded of each clip.
        num_blocks: look at this many blocks from the bottom, or at all where the network has fewer.

    Raises:
        ValueError: there are fewer than two segments.
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
