"""The models of the demo and their predictions for a clip."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import gradio as gr
import numpy as np
import pandas as pd

from audio import read_clip, user_error
from plots import timeline_figure
from samplecnn_hf import SampleCNNAudioClassificationPipeline, SampleCNNFeatureExtractor
from samplecnn_hf.analysis import ClipExcitations, ExcitationRecorder, FilterEstimates, estimate_filters, input_rms
from samplecnn_hf.events_samplecnn import event_thresholds, reaches
from samplecnn_hf.keywords import is_spotter
from samplecnn_hf.loading import load_classifier
from samplecnn_hf.streaming import MIN_GAP_SECONDS
from samplecnn_hf.text import escape_markdown, printable

TOP_LABELS = 5
NO_EVENT = "No label reaches its threshold."
EVENTS_TABLE = {  # options of `gr.Dataframe`
    "headers": ["label", "from (s)", "to (s)", "score"],
    "datatype": ["str", "number", "number", "number"],
    "interactive": False,
    "buttons": [],
}
WINDOWS_PER_SEGMENT = 3  # of a timeline: they overlap


@dataclass(frozen=True)
class Prediction:
    """
    A model's prediction for a clip, from the output of the pipeline.

    Attributes:
        summary: the predicted label, labels or words, in Markdown.
        probabilities: of the clip by label, the highest first.
        events: those of the pipeline.
        labels: label names in the order of the model's outputs, each on one line.
        window_probabilities: [windows, labels].
        starts: start time of each window in seconds [windows].
        edges: limits in seconds of the time that each window stands for [windows + 1].
    """

    summary: str
    probabilities: dict[str, float]
    events: list[dict]
    labels: list[str]
    window_probabilities: np.ndarray
    starts: np.ndarray
    edges: np.ndarray

    def timeline(self):
        """Plot the probabilities of the windows as a `matplotlib` figure."""
        return timeline_figure(self.window_probabilities, self.labels, self.edges, self.events)

    def table(self) -> pd.DataFrame:
        """Probabilities of the windows, one row per window."""
        table = pd.DataFrame(self.window_probabilities.round(4), columns=self.labels)
        table.insert(0, "start (s)", self.starts.round(2), allow_duplicates=True)  # a label may have this name
        return table


def events_table(events: Iterable[dict]) -> pd.DataFrame:
    """Value of a table of events, as the pipeline's; the end of an event that still lasts is empty."""
    rows = []
    for event in events:
        start, end = event["timestamp"]
        end = None if end is None else round(end, 2)
        rows.append((printable(event["label"]), round(start, 2), end, round(event["score"], 2)))
    return pd.DataFrame(rows, columns=EVENTS_TABLE["headers"])


class Classifier:
    """A model and its feature extractor, loaded without executing code from the model repository."""

    def __init__(self, model_id: str):
        self.folder = Path(model_id)  # that of a Hub id does not exist
        self.model, self.extractor = load_classifier(model_id)
        self.pipeline = SampleCNNAudioClassificationPipeline(
            model=self.model, feature_extractor=self.extractor, device="cpu", top_k=None
        )
        self.hop_length_s = self.extractor.segment_length / self.extractor.sampling_rate / WINDOWS_PER_SEGMENT
        self.thresholds = event_thresholds(self.model.config)
        self.is_spotter = is_spotter(self.model.config)

    def example(self) -> str | None:
        """The first of the example sounds in the folder of the model, if there are any."""
        return min(map(str, (self.folder / "examples").glob("*.*")), default=None)

    def probabilities(self, path: str | None) -> dict[str, float]:
        """Label probabilities for an audio file, the value of a `gr.Label`. Raises `gr.Error` if it cannot be read."""
        return by_label(self._call(path))

    def predict(self, path: str | None) -> Prediction:
        """Probabilities and events for an audio file. Raises `gr.Error` if it cannot be read."""
        output = self._call(
            path,
            return_timestamps=True,
            events=True,
            hop_length_s=self.hop_length_s,
            minimum_event_gap_s=MIN_GAP_SECONDS,
        )
        chunks, config = output["chunks"], self.model.config
        starts = np.array([chunk["timestamp"][0] for chunk in chunks])
        middles = starts[1:] + (chunks[0]["timestamp"][1] - output["hop_length_s"]) / 2
        scores = [{item["label"]: item["score"] for item in chunk["scores"]} for chunk in chunks]
        return Prediction(
            self.summary(by_label(output["scores"]), output["events"] if len(chunks) > 1 else None),
            by_label(output["scores"]),
            output["events"],
            [printable(label) for label in config.labels],
            np.array([[row[label] for label in config.labels] for row in scores]),
            starts,
            np.array([0.0, *middles, chunks[-1]["timestamp"][1]]),
        )

    def _call(self, path: str | None, **options):
        audio = {"array": read_clip(path, self.extractor), "sampling_rate": self.extractor.sampling_rate}
        try:
            return self.pipeline(audio, **options)
        except ValueError as error:
            raise user_error(str(error)) from error

    def summary(self, probabilities: dict[str, float], events: list[dict] | None) -> str:
        """
        The best label; of a multi-label model, those that reach their threshold (0.5 unless tuned); of a spotter, the
        words of a clip with several windows (`events` is not `None`).
        """
        if self.is_spotter and events is not None:
            detected = [printable(event["label"]) for event in events]
        elif self.model.config.multi_label:
            thresholds = dict(zip(map(printable, self.model.config.labels), self.thresholds, strict=True))
            detected = [label for label, value in probabilities.items() if reaches(value, thresholds[label])]
        else:
            best = next(iter(probabilities))
            average = "" if events is None else ", on average"
            return f"**{escape_markdown(best)}**, with a probability of {probabilities[best]:.0%}{average}"
        if not detected:
            return NO_EVENT
        return f"Detected: {', '.join(f'**{escape_markdown(label)}**' for label in detected)}"

    @cached_property
    def recorder(self) -> ExcitationRecorder:
        # The model may use only the first segments of a clip; the excitations are those of all.
        extractor = SampleCNNFeatureExtractor.from_dict(self.extractor.to_dict(), max_segments=None, drop_last=False)
        return ExcitationRecorder(self.model, extractor)

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


def by_label(scores: list[dict]) -> dict[str, float]:
    """Convert scores of the pipeline to `{label: score}`; each label is one line."""
    return {printable(item["label"]): item["score"] for item in scores}


class Models:
    """The classifiers of the demo by name: a Hub id, or the name of a local folder."""

    def __init__(self, model_ids: Sequence[str]):
        names = [self.name(model_id) for model_id in model_ids]
        if repeated := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two models have the same name, {repeated[0]}: rename a folder")
        self.classifiers = {name: Classifier(model_id) for name, model_id in zip(names, model_ids, strict=True)}

    @staticmethod
    def name(model_id: str) -> str:
        return Path(model_id).resolve().name if Path(model_id).is_dir() else model_id

    @property
    def names(self) -> list[str]:
        return list(self.classifiers)

    def dropdown(self, label: str = "Model", index: int = 0) -> gr.Dropdown:
        return gr.Dropdown(self.names, value=self.names[index], label=label)

    def __getitem__(self, name: str) -> Classifier:
        """Look up by name only: text from a visitor is never used as a path or Hub id."""
        if name not in self.classifiers:
            raise user_error(f"Unknown model: choose one of {', '.join(self.names)}.")
        return self.classifiers[name]
