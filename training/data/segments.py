"""Segments for training and evaluation, cut from prepared clips on the fly."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from samplecnn_hf import SampleCNNFeatureExtractor
from training.data.prepared import PCM16, PreparedClips


def target_matrix(labels: Sequence[Sequence[int]], num_labels: int) -> torch.Tensor:
    """Multi-hot labels, float32 [clips, num_labels]; float because of mixup and label smoothing."""
    targets = torch.zeros(len(labels), num_labels)
    for row, indices in zip(targets, labels, strict=True):
        row[list(indices)] = 1
    return targets


def to_float(pcm: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pcm.astype(np.float32) / PCM16)


class TrainingSegments(Dataset):
    """
    Single segments for training (section IV-D): `input_values` float32 [1, samples], not yet normalized (augmentation
    comes first), and `labels` float32 [num_labels].

    With `crop="consecutive"`, one item per segment of the clips; they do not overlap, whatever the extractor's
    `hop_length`. `crop="random"` gives the same number of segments per clip, each with a random start.
    """

    def __init__(self, clips: PreparedClips, num_labels: int, extractor: SampleCNNFeatureExtractor, crop: str):
        self.clips, self.extractor, self.crop = clips, extractor, crop
        self.targets = target_matrix(clips.labels, num_labels)
        consecutive = SampleCNNFeatureExtractor.from_dict(extractor.to_dict(), hop_length=None)
        self.index = [
            (clip, start)
            for clip, num_samples in enumerate(clips.num_samples)
            for start in consecutive.segment_starts(num_samples)
        ]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        clip, start = self.index[i]
        waveform, length = self.extractor.fill(self.clips[clip]), self.extractor.segment_length
        if self.crop == "random" and len(waveform) > length:
            start = int(torch.randint(len(waveform) - length + 1, ()))
        pcm = waveform[start : start + length]
        pcm = np.pad(pcm, (0, length - len(pcm)))
        return {"input_values": to_float(pcm)[None], "labels": self.targets[clip]}


class EvaluationClips(Dataset):
    """Complete clips for evaluation: `input_values` float32 [segments, samples] and `labels` float32 [num_labels]."""

    def __init__(self, clips: PreparedClips, num_labels: int, extractor: SampleCNNFeatureExtractor):
        self.clips, self.extractor = clips, extractor
        self.targets = target_matrix(clips.labels, num_labels)

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        segments = to_float(self.extractor.segment(self.clips[i]))
        return {"input_values": self.extractor.normalize(segments), "labels": self.targets[i]}


def collate_clips(items: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Pad clips to the same number of segments, with an `attention_mask` int64 [batch, segments]."""
    counts = torch.tensor([len(item["input_values"]) for item in items])
    return {
        "input_values": torch.nn.utils.rnn.pad_sequence([item["input_values"] for item in items], batch_first=True),
        "attention_mask": (torch.arange(int(counts.max())) < counts[:, None]).long(),
        "labels": torch.stack([item["labels"] for item in items]),
    }


def evaluation_loader(
    clips: PreparedClips, num_labels: int, extractor: SampleCNNFeatureExtractor, batch_size: int
) -> DataLoader:
    """Batches of whole clips, in order."""
    return DataLoader(EvaluationClips(clips, num_labels, extractor), batch_size=batch_size, collate_fn=collate_clips)
