"""
Excitations of squeeze-and-excitation blocks, per clip and per class (section VII, Figs. 8 and 9).

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


def rms(waveforms: np.ndarray) -> np.ndarray:
    """Root mean square of float waveforms [..., samples], 1 for full scale [...]."""
    return np.sqrt(np.square(waveforms, dtype=np.float64).mean(-1))


@dataclass(frozen=True)
class ClipExcitations:
    """
    Excitations of one clip.

    Attributes:
        rms: RMS of each segment before any normalization, 1 for full scale [segments].
        magnitudes: Channel magnitude per block, the mean over time of the input of its squeeze (section III-B), each
            [segments, channels].
        excitations: Factors in (0, 1) by which each block scales its channels, each [segments, channels].
    """

    rms: np.ndarray
    magnitudes: tuple[np.ndarray, ...]
    excitations: tuple[np.ndarray, ...]


class ExcitationRecorder:
    """
    Records the excitations of clips, with a copy of the network in eval mode.

    The model itself is not changed. A recorder can be shared by threads, which run one at a time.

    Args:
        model: SampleCNN with squeeze-and-excitation blocks, with or without its classifier.
        extractor: Its feature extractor.

    Raises:
        ValueError: The network has no squeeze-and-excitation blocks, or is optimized for inference.
    """

    def __init__(self, model, extractor):
        if model.base_model.is_optimized:
            raise ValueError("the model is optimized for inference: load it again to record its excitations")
        self.body = copy.deepcopy(model.base_model).eval()
        self.extractor = extractor
        self._lock = threading.Lock()
        blocks = [block.se for block in self.body.blocks if block.se is not None]
        if not blocks:
            raise ValueError(
                f"a network of {self.body.config.block_type!r} blocks has no excitations: use one with se, rese1 or "
                "rese2 blocks, such as se-9"
            )
        self._pieces: list[list[tuple[torch.Tensor, torch.Tensor]]] = [[] for _ in blocks]
        for block, pieces in zip(blocks, self._pieces, strict=True):
            block.register_forward_hook(_keep_in(pieces))

    @torch.inference_mode()
    def __call__(self, waveform, sampling_rate: int) -> ClipExcitations:
        """Record a clip; arguments and errors are those of `SampleCNNFeatureExtractor.to_waveform`."""
        segments = self.extractor.segment(self.extractor.to_waveform(waveform, sampling_rate))
        input_values = torch.from_numpy(self.extractor.normalize(segments)).to(self.body.device)
        with self._lock:
            for pieces in self._pieces:
                pieces.clear()
            self.body(input_values.unsqueeze(0))
            magnitudes = tuple(_join(magnitude for magnitude, _ in pieces) for pieces in self._pieces)
            excitations = tuple(_join(excitation for _, excitation in pieces) for pieces in self._pieces)
        return ClipExcitations(rms(segments), magnitudes, excitations)


def _keep_in(pieces: list):
    """Forward hook of a squeeze-and-excitation block, called for a few segments at a time."""

    def keep(module: nn.Module, inputs: tuple, output: tuple):
        (hidden_states,), (_, excitation) = inputs, output
        pieces.append((hidden_states.mean((2, 3)), excitation))

    return keep


def _join(pieces: Iterable[torch.Tensor]) -> np.ndarray:
    return torch.cat(list(pieces)).float().cpu().numpy()


@dataclass(frozen=True)
class ClassExcitations:
    """
    Excitations per class: means over its clips, where a clip is the mean of its segments. NaN for an empty class.

    Attributes:
        names: Names of the classes.
        num_clips: Number of clips per class [classes]; a clip with several labels counts for each.
        rms: Mean RMS of the segments, 1 for full scale [classes].
        excitations: Mean excitations per block, each [classes, channels].
    """

    names: tuple[str, ...]
    num_clips: np.ndarray
    rms: np.ndarray
    excitations: tuple[np.ndarray, ...]

    def deviations(self) -> np.ndarray:
        """Fig. 8: standard deviation over the classes with clips, averaged over the channels [blocks]."""
        return np.array([np.nanstd(excitations, axis=0).mean() for excitations in self.excitations])

    def quiet_medium_loud(self) -> list[int]:
        """Indices of the classes of the lowest, the median and the highest RMS, as in Fig. 9 (section VII-B)."""
        classes = np.flatnonzero(self.num_clips)
        classes = classes[self.rms[classes].argsort(kind="stable")]
        chosen = classes[[0, len(classes) // 2, -1]].tolist()
        return list(dict.fromkeys(chosen))  # unique: there may be fewer than three classes

    def curves(self, classes: Sequence[int], block: int = 0) -> np.ndarray:
        """Fig. 9: excitations of `classes` in one block, channels sorted by their mean [len(classes), channels]."""
        excitations = self.excitations[block][list(classes)]
        return excitations[:, excitations.mean(0).argsort(kind="stable")]


def class_excitations(
    clips: Iterable[tuple[ClipExcitations, Iterable[int]]], names: Sequence[str]
) -> ClassExcitations:
    """
    Average excitations per class, in memory that does not grow with the number of clips.

    Args:
        clips: Output of an `ExcitationRecorder` and indices of the classes (one or several) for each clip.
        names: Names of all classes.

    Raises:
        ValueError: There are no clips, or a class has no name.
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
