"""
What squeeze-and-excitation blocks do with sound: excitations of clips and of classes (section VII, Figs. 8 and 9).

    record = ExcitationRecorder(model, extractor)
    clip = record(waveform, sampling_rate)
    classes = class_excitations(((record(waveform, rate), labels) for waveform, rate, labels in clips), names)
    classes.deviations(), classes.quiet_medium_loud()
"""

import copy
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from .loudness import rms


@dataclass(frozen=True)
class ClipExcitations:
    """
    What the squeeze-and-excitation blocks of a network did with the segments of one clip.

    Attributes:
        rms: of each segment before any normalisation, 1 for full scale [segments].
        magnitudes: for each block, the means over time of the channels that come into its squeeze, the paper's
            channel magnitude (section III-B) [segments, channels].
        excitations: for each block, what it multiplied these channels by, in (0, 1) [segments, channels].
    """

    rms: np.ndarray
    magnitudes: tuple[np.ndarray, ...]
    excitations: tuple[np.ndarray, ...]


class ExcitationRecorder:
    """
    Runs clips through a copy of a network, in eval mode, and records what its squeeze-and-excitation blocks do.

    The model itself is not changed. Threads that share a recorder take turns.

    Args:
        model: a SampleCNN with such blocks, with or without its classifier.
        extractor: its feature extractor.

    Raises:
        ValueError: the network has no squeeze-and-excitation blocks.
    """

    def __init__(self, model, extractor):
        self.body = copy.deepcopy(model.base_model).eval()
        self.extractor = extractor
        self._turn = threading.Lock()
        blocks = [block.se for block in self.body.blocks if block.se is not None]
        if not blocks:
            raise ValueError(
                f"a network of {self.body.config.block_type!r} blocks has no excitations: "
                "take one of 'se', 'rese1' or 'rese2' blocks, such as se-9"
            )
        self._pieces: list[list[tuple[torch.Tensor, torch.Tensor]]] = [[] for _ in blocks]
        for block, pieces in zip(blocks, self._pieces, strict=True):
            block.register_forward_hook(_keep_in(pieces))

    @torch.inference_mode()
    def __call__(self, waveform, sampling_rate: int) -> ClipExcitations:
        """One clip, as `SampleCNNFeatureExtractor.__call__` takes it; errors are those that it raises."""
        segments = self.extractor.segment(self.extractor.to_waveform(waveform, sampling_rate))
        input_values = torch.from_numpy(self.extractor.normalize(segments)).to(self.body.device)
        with self._turn:
            for pieces in self._pieces:
                pieces.clear()
            self.body(input_values.unsqueeze(0))
            magnitudes = tuple(_join(magnitude for magnitude, _ in pieces) for pieces in self._pieces)
            excitations = tuple(_join(excitation for _, excitation in pieces) for pieces in self._pieces)
        return ClipExcitations(rms(segments), magnitudes, excitations)


def _keep_in(pieces: list):
    """A forward hook of a squeeze-and-excitation block: the network runs a few segments at a time."""

    def keep(module: nn.Module, inputs: tuple, output: tuple):
        (hidden_states,), (_, excitation) = inputs, output
        pieces.append((hidden_states.mean((2, 3)), excitation))

    return keep


def _join(pieces: Iterable[torch.Tensor]) -> np.ndarray:
    return torch.cat(list(pieces)).float().cpu().numpy()


@dataclass(frozen=True)
class ClassExcitations:
    """
    Means over the clips of each class; a clip is the mean of its segments. NaN for a class without clips.

    Attributes:
        names: of the classes.
        num_clips: of each class [classes]; a clip with several labels counts for each.
        rms: mean root mean square of the segments, 1 for full scale [classes].
        excitations: for each block [classes, channels].
    """

    names: tuple[str, ...]
    num_clips: np.ndarray
    rms: np.ndarray
    excitations: tuple[np.ndarray, ...]

    def deviations(self) -> np.ndarray:
        """Fig. 8: standard deviation over the classes that have clips, averaged over the channels [blocks]."""
        return np.array([np.nanstd(excitations, axis=0).mean() for excitations in self.excitations])

    def quiet_medium_loud(self) -> list[int]:
        """Indices of the classes of the lowest, the median and the highest RMS, as in Fig. 9 (section VII-B)."""
        heard = np.flatnonzero(self.num_clips)
        heard = heard[self.rms[heard].argsort(kind="stable")]
        chosen = heard[[0, len(heard) // 2, -1]].tolist()
        return list(dict.fromkeys(chosen))  # there may be fewer than three

    def curves(self, classes: Sequence[int], block: int = 0) -> np.ndarray:
        """Fig. 9: excitations of `classes`, the channels sorted by their mean over them [len(classes), channels]."""
        excitations = self.excitations[block][list(classes)]
        return excitations[:, excitations.mean(0).argsort(kind="stable")]


def class_excitations(
    clips: Iterable[tuple[ClipExcitations, Iterable[int]]], names: Sequence[str]
) -> ClassExcitations:
    """
    Mean excitations of classes, in memory that does not grow with the number of clips.

    Args:
        clips: what an `ExcitationRecorder` recorded of each clip, and the indices of its classes, one or several.
        names: of all classes.

    Raises:
        ValueError: there are no clips, or a class has no name.
    """
    num_clips, loudness, sums = np.zeros(len(names), dtype=int), np.zeros(len(names)), None
    for clip, classes in clips:
        classes = list(classes)
        if not all(0 <= i < len(names) for i in classes):
            raise ValueError(f"a clip has the classes {classes}, but there are {len(names)} names")
        if sums is None:
            sums = [np.zeros((len(names), excitations.shape[1])) for excitations in clip.excitations]
        num_clips[classes] += 1
        loudness[classes] += clip.rms.mean()
        for total, excitations in zip(sums, clip.excitations, strict=True):
            total[classes] += excitations.mean(0)
    if sums is None:
        raise ValueError("there are no clips")
    counts = np.where(num_clips > 0, num_clips, np.nan)
    return ClassExcitations(tuple(names), num_clips, loudness / counts, tuple(x / counts[:, None] for x in sums))
