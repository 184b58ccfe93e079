"""Feature extraction for SampleCNN: from audio files and arrays to segments of mono float32 at the model's rate."""

import copy
from collections.abc import Iterator

import numpy as np
import torch
from transformers import BatchFeature, SequenceFeatureExtractor
from transformers.utils import PaddingStrategy

from .audio_samplecnn import MAX_FILE_SAMPLES, MAX_SAMPLES, SampleCNNSegmenter, is_batch, require, require_count


class SampleCNNFeatureExtractor(SampleCNNSegmenter, SequenceFeatureExtractor):
    """
    Cuts clips into the segments SampleCNN classifies (Table I; section IV-D).

    Args:
        feature_size (`int`, defaults to 1): Number of channels of the waveform; SampleCNN is mono.
        sampling_rate (`int`, defaults to 22050): Rate of the model in Hz; other rates are resampled with soxr.
        padding_value (`float`, defaults to 0.0): Value of the samples after the end of a clip.
        segment_length (`int`, defaults to 59049): Samples per segment.
        hop_length (`int`, *optional*): Samples between the starts of two segments; by default `segment_length`
            (consecutive segments).
        max_segments (`int`, *optional*): Maximum number of segments per clip; the first ones are kept.
        drop_last (`bool`, defaults to `False`): Drop an incomplete last segment instead of padding it. With
            `max_segments=10` this is the paper's "10 segments per clip". A clip shorter than one segment is kept.
        short_clips (`str`, defaults to `"zero"`): How to extend a clip shorter than a segment: `"zero"` appends
            `padding_value`, `"tile"` repeats the clip, `"repeat"` repeats each sample (slower and lower) up to the
            length of `max_segments` segments, as in the authors' code.
        do_normalize (`bool`, defaults to `False`): Zero mean and unit variance for each segment (section VII-D).
        mean (`float`, defaults to 0.0): Mean of the dataset; the model gets (x - mean) / std.
        std (`float`, defaults to 1.0): Standard deviation of the dataset.

    Raises:
        ValueError: An option is invalid.
    """

    model_input_names = ["input_values", "attention_mask"]

    def __init__(
        self,
        feature_size: int = 1,
        sampling_rate: int = 22050,
        padding_value: float = 0.0,
        segment_length: int = 59049,
        hop_length: int | None = None,
        max_segments: int | None = None,
        drop_last: bool = False,
        short_clips: str = "zero",
        do_normalize: bool = False,
        mean: float = 0.0,
        std: float = 1.0,
        **kwargs,
    ):
        SequenceFeatureExtractor.__init__(self, feature_size, sampling_rate, padding_value, **kwargs)
        require("feature_size", feature_size, feature_size == 1, "1 (mono)")
        SampleCNNSegmenter.__init__(
            self,
            sampling_rate=sampling_rate,
            padding_value=padding_value,
            segment_length=segment_length,
            hop_length=hop_length,
            max_segments=max_segments,
            drop_last=drop_last,
            short_clips=short_clips,
            do_normalize=do_normalize,
            mean=mean,
            std=std,
        )

    def check_network(self, config):
        """Raise `ValueError` unless the segments have the sampling rate and the minimum length of a network."""
        if self.sampling_rate != config.sampling_rate:
            raise ValueError(
                f"the network is for {config.sampling_rate} Hz, the feature extractor for {self.sampling_rate} Hz: "
                "they must have the same sampling_rate"
            )
        if self.segment_length < config.min_samples:
            raise ValueError(
                f"the feature extractor's segment_length of {self.segment_length} is too short for the network: "
                f"it must be at least {config.min_samples}"
            )

    def __call__(
        self,
        raw_audio,
        sampling_rate: int | None = None,
        return_tensors: str | None = None,
        *,
        padding: bool | str = True,
        max_length: int | None = None,
        truncation: bool = False,
        return_attention_mask: bool | None = None,
    ) -> BatchFeature:
        """
        Prepare one clip or a batch of clips.

        Args:
            raw_audio: A clip, or a list (or tuple) of clips. A clip is one of

                - a numpy array, a torch tensor or a list of numbers: float in [-1, 1] or integer PCM (int16, int32,
                  int8 or uint8), of shape (samples,), (channels, samples) or (samples, channels). The shorter axis
                  holds the channels, at most 8; if both are equally long, the first one does;
                - an audio file (wav, flac, ogg, mp3 and other formats of libsndfile): its path, its content (`bytes`,
                  `bytearray`, `memoryview`) or a binary file object.
            sampling_rate: Rate of the arrays in Hz; by default the model's rate, with a warning. Files
                have their own.
            return_tensors: `"pt"` for torch tensors, `"np"` (default) for numpy arrays.
            padding: `True` or `"longest"` to pad the batch to the clip with the most segments, `"max_length"` to the
                segments of `max_length` samples, `False` not to pad.
            max_length: Samples at the model's rate, for `truncation` and `padding="max_length"`.
            truncation: Truncate clips to `max_length` samples.
            return_attention_mask: Whether to return the `attention_mask` (default).

        Returns:
            `input_values`, float32 [batch, segments, samples], and `attention_mask`, int64 [batch, segments], 1 for
            the segments of a clip and 0 for padding.

        Raises:
            ValueError: A clip is empty, of a wrong shape or dtype, NaN, infinite or too loud; a sampling rate is
                invalid; a file is damaged or not audio.
            TypeError: An input is neither an array nor a file.
            OSError: A file cannot be opened.
        """
        if truncation or max_length is not None:
            require_count("max_length (in samples)", max_length, MAX_SAMPLES)
        clips = raw_audio if is_batch(raw_audio) else [raw_audio]
        if len(clips) == 0:
            raise ValueError("there is no audio: the list of clips is empty")
        waveforms = [self.to_waveform(clip, sampling_rate)[: max_length if truncation else None] for clip in clips]
        segments = [self.normalize(self.segment(waveform)) for waveform in waveforms]
        return self.pad(
            {"input_values": segments, "attention_mask": [np.ones(len(clip), np.int64) for clip in segments]},
            padding=padding,
            max_length=None if max_length is None else len(self.segment_starts(max_length)),
            return_attention_mask=return_attention_mask,
            return_tensors=return_tensors,
        )

    def pad(
        self,
        processed_features: BatchFeature | dict | list,
        padding: bool | str | PaddingStrategy = True,
        max_length: int | None = None,
        truncation: bool = False,
        pad_to_multiple_of: int | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
    ) -> BatchFeature:
        """
        Pad prepared clips to the same number of segments, e.g. in a data collator.

        As `SequenceFeatureExtractor.pad`, with `max_length` and `pad_to_multiple_of` in segments.

        Args:
            processed_features: The output of `__call__`, or a list of its rows, optionally with other columns such as
                labels. Each clip of `input_values` has shape [segments, samples]; waveforms (samples,) work as well.
        """
        if isinstance(processed_features, (list, tuple)):
            processed_features = {key: [row[key] for row in processed_features] for key in processed_features[0]}
        features = dict(processed_features)
        if not (self.return_attention_mask if return_attention_mask is None else return_attention_mask):
            features.pop("attention_mask", None)
        padder = copy.copy(self)
        if np.ndim(features.get("input_values", [[]])[0]) == 2:
            padder.feature_size = self.segment_length  # a sequence of vectors: the segments
        return super(SampleCNNFeatureExtractor, padder).pad(
            features, padding, max_length, truncation, pad_to_multiple_of, return_attention_mask, return_tensors
        )

    def to_blocks(
        self, audio, sampling_rate: int | None = None, max_file_samples: int = MAX_FILE_SAMPLES
    ) -> Iterator[np.ndarray]:
        """Yield `to_waveform` in blocks of about `BLOCK_SAMPLES`, in memory that does not grow with the file."""
        audio = to_array(audio) if isinstance(audio, torch.Tensor) else audio
        return super().to_blocks(audio, sampling_rate, max_file_samples)


def to_array(audio: torch.Tensor) -> np.ndarray:
    """Convert a dense tensor to an array of the same values. Raises `ValueError` for other tensors."""
    if audio.is_meta or audio.is_nested or audio.is_quantized or audio.layout != torch.strided:
        raise ValueError("audio tensors must be dense; got a meta, nested, sparse or quantized tensor")
    # numpy has no bfloat16
    return (audio.float() if audio.dtype == torch.bfloat16 else audio).numpy(force=True)


SampleCNNFeatureExtractor.register_for_auto_class()  # saves the code with the options
