"""The models of the demo and their predictions for a clip."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from audio import read_clip, user_error
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


@dataclass(frozen=True)
class Prediction:
    """
    A model's prediction for a clip.

    Attributes:
        labels: label names in the order of the model's outputs, each on one line.
        probabilities: of the clip, as `pipeline` returns them [labels].
        summary: the predicted label or labels, in Markdown.
        segment_probabilities: [segments, labels].
        starts: start time of each segment in seconds [segments].
        duration: of the clip in seconds, at least one segment.
    """

    labels: list[str]
    probabilities: np.ndarray
    summary: str
    segment_probabilities: np.ndarray
    starts: np.ndarray
    duration: float

    def label_probabilities(self) -> dict[str, float]:
        """Value of a `gr.Label`."""
        return dict(zip(self.labels, self.probabilities.tolist(), strict=True))

    def plot(self, width: float):
        """Plot the segment probabilities as a `matplotlib` figure, `width` inches wide."""
        return plot_timeline(self.segment_probabilities, self.labels, self.starts, self.duration, width=width)

    def table(self) -> pd.DataFrame:
        """Segment probabilities, one row per segment."""
        table = pd.DataFrame(self.segment_probabilities.round(4), columns=self.labels)
        table.insert(0, "start (s)", self.starts.round(2), allow_duplicates=True)  # a label may have this name
        return table


class Classifier:
    """A model and its feature extractor, loaded without executing code from the model repository."""

    def __init__(self, model_id: str):
        self.model, self.extractor = load_classifier(model_id)
        # The model may use only the first segments of a clip; the timeline covers all of it.
        self.timeline_extractor = SampleCNNFeatureExtractor.from_dict(
            self.extractor.to_dict(), max_segments=None, drop_last=False
        )
        self.labels = [printable(label) for label in self.model.config.labels]

    @torch.inference_mode()
    def predict(self, path: str | None) -> Prediction:
        """Classify an audio file. Raises `gr.Error` if it cannot be read."""
        waveform = self.extractor.fill(read_clip(path, self.extractor))
        segments = self.timeline_extractor.normalize(self.timeline_extractor.segment(waveform))
        logits = self.model(torch.from_numpy(segments)[None]).segment_logits[0]
        by_segment = (logits.sigmoid() if self.model.config.multi_label else logits.softmax(-1)).double().numpy()
        probabilities = by_segment[: len(self.extractor.segment_starts(len(waveform)))].mean(0)
        rate = self.extractor.sampling_rate
        starts = np.array(self.timeline_extractor.segment_starts(len(waveform))) / rate
        duration = max(len(waveform), self.extractor.segment_length) / rate
        return Prediction(self.labels, probabilities, self.summary(probabilities), by_segment, starts, duration)

    def summary(self, probabilities: np.ndarray) -> str:
        """The best label or, for a multi-label model, those that reach their threshold (0.5 unless tuned)."""
        bold = [f"**{escape_markdown(label)}**" for label in self.labels]
        if not self.model.config.multi_label:
            best = int(probabilities.argmax())
            return f"{bold[best]}, with a probability of {probabilities[best]:.0%}"
        thresholds = np.array(self.model.config.thresholds or [0.5] * len(self.labels))
        detected = [bold[i] for i in np.argsort(-probabilities) if probabilities[i] >= thresholds[i]]
        return f"Detected: {', '.join(detected)}" if detected else "No label reaches its threshold."

    @cached_property
    def recorder(self) -> ExcitationRecorder:
        return ExcitationRecorder(self.model, self.timeline_extractor)

    def excitations(self, path: str | None) -> ClipExcitations:
        """Excitations for an audio file. Raises `gr.Error` if it cannot be read, or for a model without SE blocks."""
        waveform = self.extractor.fill(read_clip(path, self.extractor))
        try:
            return self.recorder(waveform, self.extractor.sampling_rate)
        except ValueError as error:
            raise user_error(str(error)) from error

    def filters(self, layer: int) -> FilterEstimates:
        """Estimate the filters of a layer by gradient ascent: seconds for the lowest layers, minutes for high ones."""
        return estimate_filters(self.model, layer, rms=input_rms(self.extractor))


class Models:
    """The classifiers of the demo by name: a Hub id, or the name of a local folder."""

    def __init__(self, model_ids: Sequence[str]):
        self.classifiers = {self.name(model_id): Classifier(model_id) for model_id in model_ids}
        if len(self.classifiers) < len(model_ids):
            raise ValueError(f"two models have the same name: {', '.join(map(self.name, model_ids))}")

    @staticmethod
    def name(model_id: str) -> str:
        return Path(model_id).resolve().name if Path(model_id).is_dir() else model_id

    @property
    def names(self) -> list[str]:
        return list(self.classifiers)

    def __getitem__(self, name: str) -> Classifier:
        """Look up by name only: text from a visitor is never used as a path or Hub id."""
        if name not in self.classifiers:
            raise user_error(f"Unknown model: choose one of {', '.join(self.names)}.")
        return self.classifiers[name]
