"""The networks that the deployer offers, and what they say about a clip."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from samplecnn_hf import SampleCNNFeatureExtractor
from samplecnn_hf.analysis import (
    ClipExcitations,
    ExcitationRecorder,
    FilterEstimates,
    estimate_filters,
    input_rms,
    plot_timeline,
)
from samplecnn_hf.loading import load_classifier
from samplecnn_hf.text import escape_markdown, printable
from sounds import read_clip, refusal


@dataclass(frozen=True)
class Heard:
    """
    What a network says about a clip.

    Attributes:
        labels: names, in the order of the network's outputs, each on one line.
        scores: probability of each label, as `pipeline` gives it [labels].
        answer: the same in a sentence of Markdown.
        starts: of the segments, in seconds [segments].
        timeline: probabilities in each segment [segments, labels].
        seconds: length of the clip, which is at least one segment.
    """

    labels: list[str]
    scores: np.ndarray
    answer: str
    starts: np.ndarray
    timeline: np.ndarray
    seconds: float

    def plot(self, width: float):
        return plot_timeline(self.timeline, self.labels, self.starts, self.seconds, width=width)

    def table(self) -> pd.DataFrame:
        table = pd.DataFrame(self.timeline.round(4), columns=self.labels)
        table.insert(0, "second", self.starts.round(2), allow_duplicates=True)  # a label may be called that
        return table


class Listener:
    """A network with its feature extractor, loaded with this package's code: no code of the model's folder runs."""

    def __init__(self, model_id: str):
        self.model, self.extractor = load_classifier(model_id)
        # A model may be told to hear the beginning of a clip only; the timeline shows all of it.
        self.whole_clips = SampleCNNFeatureExtractor.from_dict(
            self.extractor.to_dict(), max_segments=None, drop_last=False
        )
        config = self.model.config
        self.labels = [printable(label) for label in config.labels]
        self.multi_label = config.problem_type == "multi_label_classification"

    @torch.inference_mode()
    def listen(self, path: str | None) -> Heard:
        """Raises `gr.Error` where there is nothing to listen to."""
        waveform = self.extractor.fill(read_clip(path, self.extractor))
        segments = self.whole_clips.normalize(self.whole_clips.segment(waveform))
        logits = self.model(torch.from_numpy(segments)[None]).segment_logits[0]
        timeline = (logits.sigmoid() if self.multi_label else logits.softmax(-1)).double().numpy()
        scores = timeline[: len(self.extractor.segment_starts(len(waveform)))].mean(0)
        rate, segment_length = self.extractor.sampling_rate, self.extractor.segment_length
        starts = np.array(self.whole_clips.segment_starts(len(waveform))) / rate
        seconds = max(len(waveform), segment_length) / rate
        return Heard(self.labels, scores, self.answer(scores), starts, timeline, seconds)

    def answer(self, scores: np.ndarray) -> str:
        """The label, or the labels that reach their tuned threshold (one half without), in a sentence."""
        bold = [f"**{escape_markdown(label)}**" for label in self.labels]
        if not self.multi_label:
            best = int(scores.argmax())
            return f"{bold[best]}, with a probability of {scores[best]:.0%}"
        thresholds = np.array(self.model.config.thresholds or [0.5] * len(self.labels))
        heard = [bold[i] for i in np.argsort(-scores) if scores[i] >= thresholds[i]]
        return f"Heard: {', '.join(heard)}" if heard else "No label reaches its threshold."

    @cached_property
    def recorder(self) -> ExcitationRecorder:
        return ExcitationRecorder(self.model, self.whole_clips)

    def excitations(self, path: str | None) -> ClipExcitations:
        """Raises `gr.Error` where there is nothing to listen to, or no squeeze-and-excitation block."""
        waveform = self.extractor.fill(read_clip(path, self.extractor))
        try:
            return self.recorder(waveform, self.extractor.sampling_rate)
        except ValueError as error:
            raise refusal(f"This is {error}.") from error

    def filters(self, layer: int) -> FilterEstimates:
        """What the filters of a layer listen to; takes seconds for the lowest layers and minutes for high ones."""
        return estimate_filters(self.model, layer, rms=input_rms(self.extractor))


class Models:
    """The offered networks by the names that the picker shows: Hub ids, or the names of local folders."""

    def __init__(self, model_ids: Sequence[str]):
        self.listeners = {self.name(model_id): Listener(model_id) for model_id in model_ids}
        if len(self.listeners) < len(model_ids):
            raise ValueError(f"two models have the same name: {', '.join(map(self.name, model_ids))}")

    @staticmethod
    def name(model_id: str) -> str:
        return Path(model_id).resolve().name if Path(model_id).is_dir() else model_id

    @property
    def names(self) -> list[str]:
        return list(self.listeners)

    def __getitem__(self, name: str) -> Listener:
        """Only what the deployer offers: a visitor's text never becomes a path."""
        if name not in self.listeners:
            raise refusal(f"This demo offers no such model; it has {', '.join(self.names)}.")
        return self.listeners[name]
