"""Detection of spoken keywords in the scores of overlapping windows (numpy only)."""

from collections import deque

import numpy as np

from .events_samplecnn import minimum_scores, reaches

NO_KEYWORD = ("_silence_", "_unknown_")  # labels that are never detected
HOP_SECONDS = 0.25
REFRACTORY_SECONDS = 1.0


def is_spotter(config) -> bool:
    """Whether a model with this configuration spots keywords: it has thresholds, and labels that are no keywords."""
    return bool(config.thresholds) and not set(NO_KEYWORD).isdisjoint(config.labels)


def detections(scores: np.ndarray, threshold: float, refractory_windows: int) -> list[int]:
    """
    Indices of the detections in the scores [windows] of successive windows.

    A window whose score reaches the threshold is a detection, unless there was one less than `refractory_windows`
    before.
    """
    reached, found, next_window = np.flatnonzero(reaches(scores, threshold)), [], 0
    while (i := np.searchsorted(reached, next_window)) < len(reached):
        found.append(int(reached[i]))
        next_window = reached[i] + max(1, refractory_windows)
    return found


class KeywordDetector:
    """
    Detects keywords in the rows of a stream (or of the pipeline's `"chunks"`), one after another.

    The score of a window is that of its most probable keyword, any label but `_silence_` and `_unknown_`. A window
    whose score reaches the keyword's threshold is a detection; the next detection is at least `refractory_s` later.
    With the defaults this is how `training.spoken_words` counts false alarms and misses.

        detect = KeywordDetector(model.config, stream.hop_length_s)
        for row in stream.push(chunk):
            if (detection := detect(row)) is not None:
                print(detection["label"])

    Args:
        config: The configuration of the model: its labels and `thresholds`.
        hop_length_s: Seconds between two rows.
        threshold: Lowest score of all keywords; by default (or with `"tuned"`) `config.thresholds`.
        smoothing_s: Time over which the scores of each label are averaged, rounded to windows; against detections of
            a single window. None by default.
        refractory_s: Minimum time between two detections.

    Raises:
        ValueError: There is no valid threshold, a time is negative, or the model has no keywords.
    """

    def __init__(
        self,
        config,
        hop_length_s: float = HOP_SECONDS,
        threshold: float | str | None = None,
        smoothing_s: float = 0.0,
        refractory_s: float = REFRACTORY_SECONDS,
    ):
        if min(smoothing_s, refractory_s) < 0:
            raise ValueError(f"times must not be negative; got {smoothing_s=} and {refractory_s=}")
        thresholds = minimum_scores("tuned" if threshold is None else threshold, config.thresholds, config.num_labels)
        pairs = zip(config.labels, thresholds, strict=True)
        self.thresholds = {label: value for label, value in pairs if label not in NO_KEYWORD}
        if not self.thresholds:
            raise ValueError("the model has no keywords: all its labels are silence or unknown sounds")
        self.refractory_windows = round(refractory_s / hop_length_s)
        self._recent = deque(maxlen=max(1, round(smoothing_s / hop_length_s)))
        self._windows_to_wait = 0

    def __call__(self, row: dict) -> dict | None:
        """
        Args:
            row: `{"timestamp": (start, end), "scores": [...]}` with the scores of all labels.

        Returns:
            `{"label": str, "timestamp": (start, end), "score": float}`, or `None` if nothing is detected.
        """
        scores = {item["label"]: item["score"] for item in row["scores"]}
        if not self.thresholds.keys() <= scores.keys():
            raise ValueError("a row lacks scores of keywords: pass top_k=None where the rows are made")
        self._recent.append([scores[label] for label in self.thresholds])
        means = np.mean(self._recent, axis=0)
        label, score = list(self.thresholds)[means.argmax()], float(means.max())
        if self._windows_to_wait > 0:
            self._windows_to_wait -= 1
        elif reaches(score, self.thresholds[label]):
            self._windows_to_wait = self.refractory_windows - 1
            return {"label": label, "timestamp": row["timestamp"], "score": score}
        return None
