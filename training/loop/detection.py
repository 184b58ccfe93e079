"""
Spotting words in a stream: false alarms per hour, miss rate, the threshold between them and the DET curve.

A network with the labels `_silence_` and `_unknown_` classifies audio of any length in windows of one segment, with
hops of 0.25 s. The score of a window is the highest probability of a keyword, a label other than these two. A window
whose score reaches the threshold is a detection; the next detection is at least 1 s later (refractory time).

- False alarms per hour: detections in the clips without a keyword (`_silence_`, `_unknown_` and clips without a
  label), played one after another, divided by their total duration.
- Miss rate: fraction of the clips of keywords, with half a segment of silence on either side, in which no window
  detects the right keyword.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from tqdm import tqdm

from samplecnn_hf import SampleCNNFeatureExtractor, SampleCNNForAudioClassification
from samplecnn_hf.analysis.plots import BLUE, GREEN
from samplecnn_hf.events_samplecnn import reaches, timeline_extractor
from samplecnn_hf.keywords import HOP_SECONDS, NO_KEYWORD, REFRACTORY_SECONDS, detections
from training.data.prepared import PreparedClips
from training.data.segments import to_float
from training.data.source import Source
from training.data.sources.recordings import BACKGROUND, RECORDINGS
from training.errors import RecipeError

MAX_FALSE_ALARMS_PER_HOUR = 1.0
NEVER = 1.0  # threshold of `_silence_` and `_unknown_`
WINDOWS_PER_BATCH = 64
CURVE_POINTS = 101


class Scores(NamedTuple):
    """
    Scores of a split.

    Attributes:
        keywords: per clip of a keyword, the highest probability of this keyword in a window where no other one is more
            probable, float64 [clips]; 0 if there is no such window.
        others: score of each window of the audio without a keyword, float64 [windows].
        hours: duration of the audio without a keyword.
    """

    keywords: np.ndarray
    others: np.ndarray
    hours: float

    def at(self, threshold: float) -> dict[str, float | None]:
        """False alarms per hour and miss rate. None: there is no audio to measure it with."""
        return {
            "threshold": threshold,
            "false_alarms_per_hour": count_detections(self.others, threshold) / self.hours if self.hours else None,
            "miss_rate": float((~reaches(self.keywords, threshold)).mean()) if len(self.keywords) else None,
        }


def spots_words(source: Source) -> bool:
    """Whether the labels are keywords, silence and unknown sounds."""
    return not source.multi_label and set(NO_KEYWORD) < set(source.labels)


def evaluate_detection(
    model: SampleCNNForAudioClassification,
    extractor: SampleCNNFeatureExtractor,
    labels: list[str],
    clips: dict[str, PreparedClips],
) -> dict:
    """
    Tune the threshold on the validation clips and the user's background recordings, and score all splits with it.

    It is the lowest threshold with at most one false alarm per hour. It becomes that of the keywords in
    `config.thresholds`; `_silence_` and `_unknown_` get 1.

    Returns:
        `threshold`; `splits`: number of keyword clips, hours without keywords, false alarms per hour and miss rate of
        each split; `curve`: rows of threshold, false alarms per hour and miss rate of each split but validation.
    """
    model.eval()
    splits = [split for split in ("validation", "test", RECORDINGS) if split in clips]
    scores = {split: score_clips(model, extractor, labels, clips[split]) for split in splits}
    tuning = scores["validation"]
    if BACKGROUND in clips:
        background = score_clips(model, extractor, labels, clips[BACKGROUND])
        others = np.concatenate([tuning.others, background.others])
        tuning = scores["validation"] = Scores(tuning.keywords, others, tuning.hours + background.hours)
    threshold = tune_threshold(tuning.others, tuning.hours)
    model.config.thresholds = [NEVER if label in NO_KEYWORD else threshold for label in labels]
    return {
        "hop_seconds": HOP_SECONDS,
        "refractory_seconds": REFRACTORY_SECONDS,
        "max_false_alarms_per_hour": MAX_FALSE_ALARMS_PER_HOUR,
        "threshold": threshold,
        "splits": {
            split: {"keyword_clips": len(each.keywords), "hours_without_keywords": each.hours, **each.at(threshold)}
            for split, each in scores.items()
        },
        "curve": {split: det_curve(each) for split, each in scores.items() if split != "validation"},
    }


# Scores


def score_clips(
    model: SampleCNNForAudioClassification,
    extractor: SampleCNNFeatureExtractor,
    labels: list[str],
    clips: PreparedClips,
) -> Scores:
    """Score the windows of the clips of a split."""
    keywords = [i for i, label in enumerate(labels) if label not in NO_KEYWORD]
    spoken = [i for i, label in enumerate(clips.labels) if set(label) & set(keywords)]
    others = [i for i in range(len(clips)) if i not in set(spoken)]
    extractor = stream_extractor(extractor)
    silence = np.zeros(extractor.segment_length // 2, np.float32)

    heard = window_probabilities(model, extractor, ([silence, to_float(clips[i]).numpy(), silence] for i in spoken))
    highest = [
        np.where(window[:, keywords].argmax(1) == keywords.index(label), window[:, label], 0).max()
        for window, label in zip(heard, (clips.labels[i][0] for i in spoken), strict=True)
    ]
    audio = (to_float(clips[i]).numpy() for i in others)
    heard = window_probabilities(model, extractor, [audio] if others else [])
    scores = [window[:, keywords].max(1) for window in heard]
    seconds = clips.num_samples[others].sum() / extractor.sampling_rate
    return Scores(np.array(highest), np.concatenate([np.empty(0), *scores]), float(seconds / 3600))


def stream_extractor(extractor: SampleCNNFeatureExtractor) -> SampleCNNFeatureExtractor:
    """
    The feature extractor of a stream: hops of `HOP_SECONDS`, audio of any length, complete windows only.

    Raises:
        RecipeError: the segments are shorter than the hop.
    """
    try:
        timeline = timeline_extractor(extractor, HOP_SECONDS)
    except ValueError as error:
        raise RecipeError(
            f"spotting words needs segments of at least {HOP_SECONDS} s: choose another --variant"
        ) from error
    timeline.drop_last = True
    return timeline


@torch.inference_mode()
def window_probabilities(
    model: SampleCNNForAudioClassification,
    extractor: SampleCNNFeatureExtractor,
    recordings: Iterable[Iterable[np.ndarray]],
) -> list[np.ndarray]:
    """Probabilities of the labels in each window of each recording: blocks (samples,) -> float64 [windows, labels]."""
    num_windows, probabilities = [], [np.empty((0, model.config.num_labels))]

    def all_windows() -> Iterator[np.ndarray]:
        for blocks in recordings:
            num_windows.append(0)
            for window in extractor.segment_blocks(blocks):
                num_windows[-1] += 1
                yield window

    windows, progress = all_windows(), tqdm(desc="listen", unit="window", leave=False, disable=None)
    while batch := list(islice(windows, WINDOWS_PER_BATCH)):
        input_values = torch.from_numpy(extractor.normalize(np.stack(batch))).to(model.device)
        logits = model(input_values).logits  # each window is a clip
        probabilities.append(logits.double().softmax(1).cpu().numpy())
        progress.update(len(batch))
    return np.split(np.concatenate(probabilities), np.cumsum(num_windows)[:-1]) if num_windows else []


def keyword_accuracy(logits: torch.Tensor, targets: torch.Tensor, labels: list[str]) -> float | None:
    """Fraction of the keyword clips whose keyword is more probable than the other keywords. None: no such clips.

    Logits and targets are [clips, labels]; `_silence_` and `_unknown_` do not compete.
    """
    keywords = [i for i, label in enumerate(labels) if label not in NO_KEYWORD]
    logits, targets = logits[:, keywords], targets[:, keywords]
    spoken = targets.sum(1) > 0
    hits = (logits.argmax(1) == targets.argmax(1))[spoken]
    return hits.float().mean().item() if len(hits) else None


# Thresholds


def count_detections(scores: np.ndarray, threshold: float) -> int:
    """Number of detections in consecutive windows with these scores [windows], with the refractory time."""
    return len(detections(scores, threshold, round(REFRACTORY_SECONDS / HOP_SECONDS)))


def tune_threshold(scores: np.ndarray, hours: float) -> float:
    """The lowest threshold with at most `MAX_FALSE_ALARMS_PER_HOUR` in windows without keywords, at most 1."""
    thresholds = np.unique(np.append(np.nextafter(scores, 2), 0.0))  # just above each score
    low, high = 0, len(thresholds) - 1  # the number of detections falls with the threshold
    while low < high:
        middle = (low + high) // 2
        if count_detections(scores, thresholds[middle]) <= MAX_FALSE_ALARMS_PER_HOUR * hours:
            high = middle
        else:
            low = middle + 1
    return min(float(thresholds[low]), 1.0)


def det_curve(scores: Scores) -> list[dict]:
    """Rows of `Scores.at`, from the lowest threshold to the highest, evenly spaced in the miss rate."""
    thresholds = (
        np.unique(np.quantile(scores.keywords, np.linspace(0, 1, CURVE_POINTS))) if len(scores.keywords) else []
    )
    return [scores.at(float(threshold)) for threshold in thresholds]


def plot_det_curve(detection: dict) -> Figure:
    """Miss rate over false alarms per hour from the result of `evaluate_detection`; a dot is the tuned threshold."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for color, (split, rows) in zip((BLUE, GREEN), detection["curve"].items(), strict=False):
        tuned = detection["splits"][split]
        if tuned["false_alarms_per_hour"] is None or tuned["miss_rate"] is None:
            continue
        lowest = 0.5 / tuned["hours_without_keywords"]  # stands for none: the axis is logarithmic
        points = [(max(row["false_alarms_per_hour"], lowest), 100 * row["miss_rate"]) for row in [*rows, tuned]]
        hours = f"{tuned['hours_without_keywords']:.2f} h, {tuned['keyword_clips']} clips"
        axes.plot(*zip(*points[:-1], strict=True), color=color, label=f"{split} ({hours})", drawstyle="steps-post")
        axes.plot(*points[-1], "o", color=color)
    axes.axvline(detection["max_false_alarms_per_hour"], color="gray", linewidth=0.8, linestyle=":")
    axes.set(xscale="log", xlabel="false alarms per hour", ylabel="miss rate in %", ylim=(0, 100))
    axes.legend(fontsize=8)
    return figure
