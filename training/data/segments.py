"""From files to what the network trains on: clips decoded once into memory, then cut into segments on the fly."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch.utils.data import Dataset
from tqdm import tqdm

from samplecnn_hf import SampleCNNFeatureExtractor
from samplecnn_hf.feature_extraction_samplecnn import read_audio
from training.data.source import Clip, DataError

PCM16 = 2**15


def decode_clip(path, extractor: SampleCNNFeatureExtractor) -> np.ndarray:
    """An audio file -> mono int16 (samples,) at the extractor's rate."""
    try:
        audio, sampling_rate = read_audio(path)
        waveform = extractor.to_waveform(audio, sampling_rate)
    except ValueError as error:
        message = str(error) if str(path) in str(error) else f"{path}: {error}"
        raise DataError(f"{message} (mend the file, or take it out of the data set)") from error
    return np.clip(np.rint(waveform * PCM16), -PCM16, PCM16 - 1).astype(np.int16)


def decode_clips(paths, extractor, description: str, disable_progress: bool = False) -> list[np.ndarray]:
    """Decode files in parallel (libsndfile and soxr work outside Python's lock), in order."""
    with ThreadPoolExecutor() as pool:
        waveforms = pool.map(lambda path: decode_clip(path, extractor), paths)
        return list(tqdm(waveforms, total=len(paths), desc=description, unit="clip", disable=disable_progress))


def target_matrix(clips: list[Clip], num_labels: int) -> torch.Tensor:
    """Labels of clips as zeros and ones, float32 [clips, num_labels]; mixup and smoothing make them fractions."""
    targets = torch.zeros(len(clips), num_labels)
    for row, clip in zip(targets, clips, strict=True):
        row[list(clip.labels)] = 1
    return targets


def to_float(pcm: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pcm.astype(np.float32) / PCM16)


class TrainingSegments(Dataset):
    """
    Single segments, as the network is trained (section IV-D): `input_values` float32 [1, samples], not yet normalised
    (augmentation comes first), and `labels` float32 [num_labels].

    An epoch has as many segments as there are consecutive ones. With `crop="random"` each starts anywhere in its clip.
    """

    def __init__(self, waveforms: list[np.ndarray], targets: torch.Tensor, extractor, crop: str):
        self.waveforms, self.targets, self.extractor, self.crop = waveforms, targets, extractor, crop
        self.index = [
            (clip, segment)
            for clip, waveform in enumerate(waveforms)
            for segment in range(len(extractor.segment_starts(len(waveform))))
        ]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        clip, segment = self.index[i]
        waveform, length = self.waveforms[clip], self.extractor.segment_length
        if self.crop == "random" and len(waveform) > length:
            start = int(torch.randint(len(waveform) - length + 1, ()))
            pcm = waveform[start : start + length]
        else:
            pcm = self.extractor.segment(waveform)[segment]
        return {"input_values": to_float(pcm)[None], "labels": self.targets[clip]}


class EvaluationClips(Dataset):
    """Whole clips: `input_values` float32 [segments, samples], normalised, and `labels` float32 [num_labels]."""

    def __init__(self, waveforms: list[np.ndarray], targets: torch.Tensor, extractor):
        self.waveforms, self.targets, self.extractor = waveforms, targets, extractor

    def __len__(self) -> int:
        return len(self.waveforms)

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        segments = to_float(self.extractor.segment(self.waveforms[i]))
        return {"input_values": self.extractor.normalize(segments), "labels": self.targets[i]}


def collate_clips(items: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Clips of different numbers of segments -> one batch with an `attention_mask` [batch, segments]."""
    counts = torch.tensor([len(item["input_values"]) for item in items])
    return {
        "input_values": torch.nn.utils.rnn.pad_sequence([item["input_values"] for item in items], batch_first=True),
        "attention_mask": (torch.arange(int(counts.max())) < counts[:, None]).long(),
        "labels": torch.stack([item["labels"] for item in items]),
    }
