"""Timelines and events from the scores of overlapping windows.

Without torch or transformers, for the pipeline and `samplecnn_hf.runtime`.
"""

import copy
from collections.abc import Iterable, Iterator
from itertools import tee
from numbers import Integral, Real

import numpy as np

MAX_HOP_CHANGE = 0.02  # relative, by rounding
EVENT_THRESHOLD = 0.5  # of models without tuned thresholds
ROUNDING_S = 1e-6  # tolerance in seconds for differences between timestamps


def timeline_extractor(extractor, hop_length_s: float | None = None):
    """
    Copy a feature extractor so that its segments are the windows of a timeline.

    They cover the whole audio (`max_segments` and `drop_last` are ignored), every `hop_length_s` seconds; by default,
    every hop of the extractor. The hop is rounded to a multiple of 3^k samples with the largest k that changes it by
    at most 2 %: such windows share the frames of the lowest layers (`windows_samplecnn.py`). Windows that are
    normalized one by one (`do_normalize`) share nothing, so their hops are rounded to samples.

    Args:
        extractor: A `SampleCNNFeatureExtractor`.
        hop_length_s: Seconds between the starts of two windows, at most the length of a segment.

    Returns:
        The copy. Its `hop_length` is the rounded hop in samples.

    Raises:
        ValueError: The hop is not positive, or longer than a segment.
    """
    extractor = copy.copy(extractor)
    extractor.max_segments, extractor.drop_last = None, False
    longest, rate = extractor.segment_length, extractor.sampling_rate
    if hop_length_s is None:
        extractor.hop_length = extractor.hop_length or longest
        return extractor
    if not isinstance(hop_length_s, Real) or not 1 <= hop_length_s * rate < longest + 1:
        raise ValueError(
            f"hop_length_s must be from one sample to one segment ({longest / rate:g} s); got {hop_length_s!r}"
        )
    samples = hop_length_s * rate
    if round(samples) < longest and not extractor.do_normalize:
        samples = _round_hop(samples)
    extractor.hop_length = min(round(samples), longest)
    return extractor


def timeline_windows(extractor, timeline, blocks: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, bool, bool]]:
    """
    Cut a waveform into the windows of a timeline and the segments of the clip, in bounded memory.

    Args:
        extractor: The feature extractor.
        timeline: Its `timeline_extractor`, or `None` for segments only.
        blocks: Blocks (samples,) of the waveform.

    Yields:
        A window (segment_length,), whether it belongs to the timeline, and whether it is a segment of the clip, in the
        order of their starts. A window that is both is yielded once.
    """
    if timeline is None:
        yield from ((segment, False, True) for segment in extractor.segment_blocks(blocks))
        return
    blocks = tee(blocks)
    windows, segments = timeline.segment_blocks(blocks[0]), extractor.segment_blocks(blocks[1])
    del blocks  # a copy that is not read would keep all blocks
    window, segment = next(windows), next(segments)
    window_start = segment_start = 0
    while window is not None or segment is not None:
        in_timeline = window is not None and (segment is None or window_start <= segment_start)
        # The extractor may have stretched a short clip: compare the samples as well.
        is_segment = not in_timeline or (window_start == segment_start and np.array_equal(window, segment))
        yield window if in_timeline else segment, in_timeline, is_segment
        if in_timeline:
            window, window_start = next(windows, None), window_start + timeline.hop_length
        if is_segment:
            segment = next(segments, None)
            segment_start += extractor.hop_length or extractor.segment_length


def _round_hop(samples: float) -> int:
    """The multiple of the largest power of 3 that is at most `MAX_HOP_CHANGE` away."""
    rounded, grid = round(samples), 3
    while grid <= samples:
        nearest = round(samples / grid) * grid
        if abs(nearest - samples) <= MAX_HOP_CHANGE * samples:
            rounded = nearest
        grid *= 3
    return rounded


def window_timestamps(num_windows: int, extractor, num_samples: int, first: int = 0) -> np.ndarray:
    """Start and end in seconds, float64 [windows, 2], of a clip's windows from `first` on.

    The clip has `num_samples` samples.
    """
    starts = extractor.hop_length * np.arange(first, first + num_windows)
    ends = np.minimum(starts + extractor.segment_length, num_samples)
    return np.stack([starts, ends], axis=1) / extractor.sampling_rate


def minimum_scores(threshold: float | str | None, thresholds: list[float] | None, num_labels: int):
    """
    Lowest score per label for `select_labels`.

    Args:
        threshold: Lowest score of all labels, `"tuned"` for `thresholds`, or `None`.
        thresholds: The tuned thresholds of the model, if any.
        num_labels: Number of labels.

    Returns:
        `list[float]`, or `None` for no threshold.

    Raises:
        ValueError: The threshold is invalid, or the model has no tuned thresholds for its labels.
    """
    if threshold is None:
        return None
    if threshold != "tuned":
        if not isinstance(threshold, Real) or not 0 <= threshold <= 1:
            raise ValueError(f'threshold must be a number from 0 to 1, or "tuned"; got {threshold!r}')
        return [threshold] * num_labels
    if thresholds is None:
        raise ValueError(
            "this model has no tuned thresholds, which multi-label models and keyword spotters have: give a number"
        )
    if len(thresholds) != num_labels:
        raise ValueError(f"config.thresholds has {len(thresholds)} values for {num_labels} labels: tune them again")
    return thresholds


def check_top_k(top_k):
    """Raise `ValueError` unless this is a number of labels, or `None` for all."""
    if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, Integral) or top_k < 1):
        raise ValueError(f"top_k must be a positive integer, or None for all labels; got {top_k!r}")


def reaches(score, threshold):
    """Whether scores reach their thresholds. A threshold of 1 is never reached."""
    return (score >= threshold) & (threshold < 1)


def select_labels(scores, labels: list[str], top_k: int | None, lowest_scores) -> list[list[dict]]:
    """
    Select the labels of each row of scores [rows, labels].

    Args:
        scores: Scores of the labels.
        labels: Names of the labels.
        top_k: Maximum number of labels; `None` for all.
        lowest_scores: Lowest score per label, or `None`.

    Returns:
        Per row, a list of `{"score": float, "label": str}` from the highest score to the lowest.
    """
    rows = []
    for row, order in zip(scores, np.argsort(-scores, axis=1, kind="stable"), strict=True):
        if lowest_scores is not None:
            order = [i for i in order if reaches(row[i], lowest_scores[i])]
        rows.append([{"score": float(row[i]), "label": labels[i]} for i in order[:top_k]])
    return rows


def event_thresholds(config, threshold: float | str | None = None) -> list[float]:
    """
    Lowest score of an event, per label.

    Args:
        config: The configuration of the model.
        threshold: As in `minimum_scores`; by default the tuned thresholds, or 0.5 where the model has none.

    Raises:
        ValueError: As in `minimum_scores`.
    """
    if threshold is None:
        threshold = "tuned" if config.thresholds else EVENT_THRESHOLD
    return minimum_scores(threshold, config.thresholds, config.num_labels)


class EventDetector:
    """
    Finds events in successive windows: runs of windows in which the score of a label reaches its threshold.

        detect = EventDetector(model.config.labels, event_thresholds(model.config))
        for row in stream.push(chunk):
            for event in detect(row):
                print(event["label"], event["timestamp"])

    A window stands for the time that is closer to its center than to that of any other window. The terms are those
    of DCASE's sed_eval and dcase_util: an event is a label with an onset and an offset.

    Args:
        labels: Names of the labels.
        thresholds: Lowest score of an event, per label; a threshold of 1 is never reached.
        minimum_event_gap_s: Events of a label with a shorter gap between them are one event.
    """

    def __init__(self, labels: list[str], thresholds: list[float], minimum_event_gap_s: float = 0.0):
        self.labels, self.thresholds = labels, np.array(thresholds)
        self.minimum_event_gap_s = minimum_event_gap_s
        self._latest = [None] * len(labels)  # event of each label
        self._active = np.zeros(len(labels), bool)
        self._previous = None  # timestamp
        self._window_length_s = None  # of the first window: an incomplete last one is shorter

    def __call__(self, row: dict) -> list[dict]:
        """`push` a row `{"timestamp": (start, end), "scores": [...]}` of a stream, with the scores of all labels."""
        scores = {item["label"]: item["score"] for item in row["scores"]}
        return self.push(row["timestamp"], np.array([scores[label] for label in self.labels]))

    def push(self, timestamp: tuple[float, float], scores: np.ndarray) -> list[dict]:
        """
        Add a window.

        Args:
            timestamp: Start and end in seconds.
            scores: Probabilities, [labels].

        Returns:
            The events `{"label": str, "timestamp": (onset, offset), "score": float}` that start with this window, in
            seconds. Later calls update them: the offset is `None` until the event ends, the score is the highest of
            its windows.
        """
        start, end = timestamp
        if self._previous is None:
            self._window_length_s, edge = end - start, start
        else:
            edge = (self._previous[0] + start + self._window_length_s) / 2
        self._previous, new = timestamp, []
        reached = reaches(scores, self.thresholds)
        for i in np.flatnonzero(reached | self._active):
            event, score = self._latest[i], float(scores[i])
            if not reached[i]:
                self._end(event, edge)
            elif event is not None and (self._active[i] or self._continues(event, edge)):
                event.update(timestamp=(event["timestamp"][0], None), score=max(score, event["score"]))
            else:
                self._latest[i] = {"label": self.labels[i], "timestamp": (edge, None), "score": score}
                new.append(self._latest[i])
        self._active = reached
        return new

    def finish(self):
        """End the stream: the events that last until then end with the last window."""
        for i in np.flatnonzero(self._active):
            self._end(self._latest[i], self._previous[1])
        self._active[:] = False

    def _continues(self, event: dict, onset: float) -> bool:
        return onset - event["timestamp"][1] < self.minimum_event_gap_s - ROUNDING_S

    @staticmethod
    def _end(event: dict, offset: float):
        event["timestamp"] = (event["timestamp"][0], offset)


def find_events(
    scores: np.ndarray,
    timestamps: np.ndarray,
    labels: list[str],
    thresholds: list[float],
    median_filter_s: float = 0.0,
    minimum_event_length_s: float = 0.0,
    minimum_event_gap_s: float = 0.0,
) -> list[dict]:
    """
    Find the events of all windows of a clip, as `EventDetector` does.

    Args:
        scores: Probabilities, [windows, labels].
        timestamps: Start and end of each window in seconds, [windows, 2] (`window_timestamps`).
        labels: Names of the labels.
        thresholds: Lowest score of an event, per label; a threshold of 1 is never reached.
        median_filter_s: Length in seconds of a median filter over the scores, rounded to an odd number of windows.
        minimum_event_length_s: Shorter events are dropped, after gaps are closed.
        minimum_event_gap_s: Events of a label with a shorter gap between them are one event.

    Returns:
        Events `{"label": str, "timestamp": (onset, offset), "score": float}` by onset, in seconds. The score is the
        highest of the event's windows, after the filter.
    """
    if median_filter_s > 0 and len(timestamps) > 1:
        hop_length_s = timestamps[1, 0] - timestamps[0, 0]
        num_windows = 1 + 2 * round((median_filter_s / hop_length_s - 1) / 2)
        scores = np.stack([_median_filter(column, num_windows) for column in scores.T], axis=1)
    detector, events = EventDetector(labels, thresholds, minimum_event_gap_s), []
    for timestamp, row in zip(timestamps.tolist(), scores, strict=True):
        events += detector.push(timestamp, row)
    detector.finish()
    events.sort(key=lambda event: event["timestamp"])
    shortest = minimum_event_length_s - ROUNDING_S
    return [event for event in events if event["timestamp"][1] - event["timestamp"][0] >= shortest]


def _median_filter(scores: np.ndarray, num_windows: int) -> np.ndarray:
    """Median over an odd number of windows of scores [windows]; the first and the last score are repeated."""
    padded = np.pad(scores, num_windows // 2, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, num_windows), axis=1)
