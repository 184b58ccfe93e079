"""Classification of a stream, e.g. of a microphone: chunks of audio in, scores of windows out."""

import numpy as np
import soxr
import torch

from .audio_samplecnn import MAX_CHANNELS, check_dtype, check_sampling_rate, to_mono
from .events_samplecnn import (
    EventDetector,
    check_top_k,
    event_thresholds,
    select_labels,
    timeline_extractor,
    window_timestamps,
)
from .feature_extraction_samplecnn import SampleCNNFeatureExtractor, to_array
from .keywords import HOP_SECONDS, KeywordDetector, is_spotter
from .modeling_samplecnn import SampleCNNForAudioClassification
from .pipeline_samplecnn import GROUP_SAMPLES
from .windows_samplecnn import timeline_logits

MIN_GAP_SECONDS = 0.5  # between two events of a label, where live sound is shown


class SampleCNNStream:
    """
    Classifies a stream in overlapping windows as soon as they are complete.

    The rows are the pipeline's `"chunks"` for the same audio and hop, whatever the sizes of the chunks. Memory does
    not grow with the stream. `KeywordDetector` finds spoken keywords in the rows.

        stream = SampleCNNStream(model, feature_extractor, hop_length_s=0.25, sampling_rate=48000)
        for chunk in microphone:
            for row in stream.push(chunk):
                print(row["timestamp"], row["scores"][0])

    Args:
        model: A model in eval mode.
        feature_extractor: Its feature extractor.
        hop_length_s: Seconds between the starts of two windows, rounded as in `timeline_extractor`.
        sampling_rate: Rate of the stream in Hz; by default the model's rate.
        top_k: Maximum number of labels per row; all by default.

    Attributes:
        hop_length_s: The rounded hop. After the first segment, sound is part of a row at most this long after it was
            pushed, plus the delay of the resampler and the time to compute the row.

    Raises:
        ValueError: The hop, the sampling rate or `top_k` is invalid, or the feature extractor does not fit the model.
    """

    def __init__(
        self,
        model: SampleCNNForAudioClassification,
        feature_extractor: SampleCNNFeatureExtractor,
        hop_length_s: float = HOP_SECONDS,
        sampling_rate: float | None = None,
        top_k: int | None = None,
    ):
        check_top_k(top_k)
        feature_extractor.check_network(model.config)
        self.model, self.top_k = model, top_k
        self.timeline = timeline_extractor(feature_extractor, hop_length_s)
        self.hop_length_s = self.timeline.hop_length / self.timeline.sampling_rate
        self.sampling_rate = self.timeline.sampling_rate if sampling_rate is None else sampling_rate
        check_sampling_rate(self.sampling_rate)
        self.reset()

    def reset(self):
        """Forget what was pushed: the next chunk starts a new stream."""
        self._resampler = soxr.ResampleStream(self.sampling_rate, self.timeline.sampling_rate, num_channels=1)
        self._rest = np.empty(0, np.float32)  # starts with the next window
        self._num_samples = self._num_windows = 0

    def push(self, chunk) -> list[dict]:
        """
        Add audio to the stream.

        Args:
            chunk: Array or tensor (samples,) or (samples, channels), float in [-1, 1] or integer PCM; of any length.

        Returns:
            Rows `{"timestamp": (start, end), "scores": [{"score": float, "label": str}, ...]}` of the windows that
            became complete, in seconds since the start of the stream.

        Raises:
            ValueError: The shape, the dtype or a sample is invalid, or the network's output is not finite.
        """
        chunk = to_array(chunk) if isinstance(chunk, torch.Tensor) else chunk
        return self._classify(self._cut(self._resampler.resample_chunk(to_mono(_to_frames(chunk)))))

    def flush(self) -> list[dict]:
        """End the stream: the rows of its last windows, padded as in the pipeline. The next chunk starts a new one."""
        windows = self._cut(self._resampler.resample_chunk(np.empty(0, np.float32), last=True))
        if self._num_windows + len(windows) > 0:
            windows += self.timeline.last_segments(self._rest)
        elif len(self._rest) > 0:
            windows = [self.timeline.fill(self._rest)]
        rows = self._classify(windows)
        self.reset()
        return rows

    def _cut(self, samples: np.ndarray) -> list[np.ndarray]:
        """Windows that are complete with more samples."""
        self._num_samples += len(samples)
        self._rest, windows = np.concatenate([self._rest, samples]), []
        while len(self._rest) >= self.timeline.segment_length:
            windows.append(self._rest[: self.timeline.segment_length])
            self._rest = self._rest[self.timeline.hop_length :]
        return windows

    @torch.inference_mode()
    def _classify(self, windows: list[np.ndarray]) -> list[dict]:
        config, timeline, scores = self.model.config, self.timeline, []
        size = max(1, GROUP_SAMPLES // timeline.segment_length)
        for i in range(0, len(windows), size):
            input_values = torch.from_numpy(timeline.normalize(np.stack(windows[i : i + size]))).to(self.model.device)
            mask = torch.ones(1, len(input_values), dtype=torch.bool, device=self.model.device)
            logits = timeline_logits(self.model, timeline, input_values.unsqueeze(0), mask, mask)[0]
            if not logits.isfinite().all():
                raise ValueError("the network's output is not finite: damaged weights, or audio too loud")
            scores.append((logits.sigmoid() if config.multi_label else logits.softmax(-1)).cpu().numpy())
        if not scores:
            return []
        timestamps = window_timestamps(len(windows), timeline, self._num_samples, first=self._num_windows)
        self._num_windows += len(windows)
        rows = select_labels(np.concatenate(scores), config.labels, self.top_k, None)
        return [
            {"timestamp": tuple(timestamp), "scores": row}
            for timestamp, row in zip(timestamps.tolist(), rows, strict=True)
        ]


def _to_frames(chunk) -> np.ndarray:
    """Convert a chunk to an array (samples, channels) of the same dtype."""
    frames = chunk.numpy(force=True) if isinstance(chunk, torch.Tensor) else np.asarray(chunk)
    if frames.ndim == 1:
        frames = frames[:, None]
    if frames.ndim != 2 or not 1 <= frames.shape[1] <= MAX_CHANNELS:
        raise ValueError(
            f"a chunk has shape (samples,) or (samples, channels), at most {MAX_CHANNELS} channels; got {frames.shape}"
        )
    check_dtype(frames)
    return frames


class _WordDetector:
    """`KeywordDetector` with the interface of `EventDetector`."""

    def __init__(self, config, hop_length_s: float, threshold: float | str | None):
        self._detect = KeywordDetector(config, hop_length_s, threshold)

    def __call__(self, row: dict) -> list[dict]:
        detection = self._detect(row)
        return [] if detection is None else [detection]

    def finish(self):
        """Nothing to do: the event of a word is its window."""


def create_detector(config, hop_length_s: float, threshold: float | str | None = None):
    """
    Create the detector for the rows of live sound.

    Args:
        config: The configuration of the model.
        hop_length_s: Seconds between two rows.
        threshold: Minimum score of all labels; by default (or with `"tuned"`) `config.thresholds`, or 0.5 for a model
            that does not spot keywords and has none.

    Returns:
        Called with a row, it returns the keywords in it or, unless the model spots keywords, the events that start
        with it. `finish()` ends the events that last.
    """
    if is_spotter(config):
        return _WordDetector(config, hop_length_s, threshold)
    return EventDetector(config.labels, event_thresholds(config, threshold), MIN_GAP_SECONDS)
