"""Feature extraction for SampleCNN: from audio files and arrays to segments of mono float32 at the model's rate."""

import copy
import io
import math
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from types import SimpleNamespace

import numpy as np
import soundfile
import soxr
import torch
from transformers import BatchFeature, SequenceFeatureExtractor
from transformers.utils import PaddingStrategy, logging

logger = logging.get_logger(__name__)

SAMPLING_RATES = (1_000, 1_000_000)  # Hz
SHORT_CLIPS = ("zero", "tile", "repeat")
MAX_CHANNELS = 8  # 7.1 audio; a 2-D array with more rows and columns than this is a batch
MAX_PEAK = 2**15  # of float samples, which should be in [-1, 1]; larger ones overflow in the network
MAX_SEGMENT_LENGTH = 2**24  # samples: 12 minutes at 22,050 Hz
BLOCK_SAMPLES = 2**20  # decoded (of all channels) or resampled at a time: 4 MiB
MAX_SAMPLES = 2**28  # of a clip held in memory: 1 GiB, 3 hours at 22,050 Hz
MAX_FILE_SAMPLES = 2**33  # decoded (of all channels) or resampled from one file: a day of stereo at 48 kHz


class SampleCNNFeatureExtractor(SequenceFeatureExtractor):
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
        super().__init__(feature_size=feature_size, sampling_rate=sampling_rate, padding_value=padding_value, **kwargs)
        _require("feature_size", feature_size, feature_size == 1, "1 (mono)")
        _check_sampling_rate(sampling_rate)
        _require_count("segment_length", segment_length, MAX_SEGMENT_LENGTH)
        if hop_length is not None:
            _require_count("hop_length", hop_length, segment_length)
        if max_segments is not None:
            _require_count("max_segments", max_segments, MAX_SAMPLES)
        _require("short_clips", short_clips, short_clips in SHORT_CLIPS, f"one of {', '.join(SHORT_CLIPS)}")
        for name, value in (("padding_value", padding_value), ("mean", mean), ("std", std)):
            _require(name, value, _is_number(value) and math.isfinite(value), "a finite number")
        _require("std", std, std > 0, "positive")
        self.segment_length = segment_length
        self.hop_length = hop_length
        self.max_segments = max_segments
        self.drop_last = drop_last
        self.short_clips = short_clips
        self.do_normalize = do_normalize
        self.mean = mean
        self.std = std
        _require_count("max_segments * hop_length with short_clips='repeat'", self.filled_length, MAX_SEGMENT_LENGTH)

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
            _require_count("max_length (in samples)", max_length, MAX_SAMPLES)
        clips = raw_audio if _is_batch(raw_audio) else [raw_audio]
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

    def to_waveform(
        self,
        audio,
        sampling_rate: int | None = None,
        max_samples: int = MAX_SAMPLES,
        max_file_samples: int = MAX_FILE_SAMPLES,
    ) -> np.ndarray:
        """
        Convert a clip (see `__call__`) to mono float32 (samples,) at the model's rate.

        Raises:
            ValueError: As in `__call__`, or the waveform is longer than `max_samples`, or the header of a file says
                that it has, or resampled would have, more than `max_file_samples` samples of all channels.
        """
        blocks, num_samples = [], 0
        for block in self.to_blocks(audio, sampling_rate, max_file_samples):
            blocks.append(block)
            num_samples += len(block)
            if num_samples > max_samples:
                minutes = max_samples / self.sampling_rate / 60
                raise ValueError(f"the clip is too long: more than {minutes:.0f} minutes")
        return np.concatenate(blocks)

    def to_blocks(
        self, audio, sampling_rate: int | None = None, max_file_samples: int = MAX_FILE_SAMPLES
    ) -> Iterator[np.ndarray]:
        """Yield `to_waveform` in blocks of about `BLOCK_SAMPLES`, in memory that does not grow with the file."""
        if isinstance(audio, (str, os.PathLike, bytes, bytearray, memoryview)) or hasattr(audio, "read"):
            if sampling_rate is not None:
                raise ValueError("an audio file has its own sampling rate: pass sampling_rate for arrays only")
            blocks = _read_file(audio, self.sampling_rate, max_file_samples)
        else:
            if sampling_rate is None:
                logger.warning_once(
                    f"No sampling_rate was passed: the audio is assumed to be at {self.sampling_rate} Hz. Pass "
                    "sampling_rate=... to resample other rates."
                )
                sampling_rate = self.sampling_rate
            blocks = _read_array(audio, sampling_rate, self.sampling_rate)
        is_empty = True
        for block in blocks:
            if len(block) > 0:
                is_empty = False
                yield block
        if is_empty:
            raise ValueError("the audio is empty: it has no samples")

    @property
    def filled_length(self) -> int:
        """Length in samples to which shorter clips are extended."""
        num_segments = (self.max_segments or 1) if self.short_clips == "repeat" else 1
        return self.segment_length + (num_segments - 1) * (self.hop_length or self.segment_length)

    def fill(self, waveform: np.ndarray) -> np.ndarray:
        """Extend a short waveform (samples,) of any dtype according to `short_clips`."""
        length = self.filled_length
        if len(waveform) >= length:
            return waveform
        if self.short_clips == "repeat":
            return np.repeat(waveform, math.ceil(length / len(waveform)))[:length]
        if self.short_clips == "tile":
            return np.resize(waveform, length)
        return np.pad(waveform, (0, length - len(waveform)), constant_values=self.padding_value)

    def segment_starts(self, num_samples: int) -> list[int]:
        """First sample of each segment of a clip of `num_samples` samples; never empty."""
        hop_length = self.hop_length or self.segment_length
        hops = (max(num_samples, self.filled_length) - self.segment_length) / hop_length
        count = 1 + (math.floor(hops) if self.drop_last else math.ceil(hops))
        return [i * hop_length for i in range(count)][: self.max_segments]

    def segment(self, waveform: np.ndarray) -> np.ndarray:
        """Cut a waveform (samples,) of any dtype into segments [segments, segment_length], padded at the end."""
        return np.stack(list(self.segment_blocks([waveform])))

    def segment_blocks(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the segments (segment_length,) of a waveform in blocks; reads no more blocks than it needs."""
        hop_length, length = self.hop_length or self.segment_length, self.segment_length
        blocks = iter(blocks)
        start = next(blocks)
        while len(start) < self.filled_length and (block := next(blocks, None)) is not None:
            start = np.concatenate([start, block])
        count, rest = 0, start[:0]  # `rest` starts with the next segment
        for block in chain([self.fill(start)], blocks):
            rest = np.concatenate([rest, block])
            while len(rest) >= length:
                yield rest[:length]
                count += 1
                if count == self.max_segments:
                    return
                rest = rest[hop_length:]
        if not self.drop_last and len(rest) > length - hop_length:
            yield np.pad(rest, (0, length - len(rest)), constant_values=self.padding_value)

    def normalize(self, segments):
        """Apply `mean`, `std` and `do_normalize` to float segments [..., samples], a numpy array or a torch tensor."""
        if self.mean != 0.0 or self.std != 1.0:
            segments = (segments - self.mean) / self.std
        if self.do_normalize:
            centered = segments - segments.mean(-1, keepdims=True)
            segments = centered / ((centered**2).mean(-1, keepdims=True) + 1e-7) ** 0.5
        return segments


def _require(name: str, value, is_valid: bool, rule: str):
    if not is_valid:
        raise ValueError(f"{name} must be {rule}; got {value!r}")


def _require_count(name: str, value, highest: int):
    is_integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    _require(name, value, is_integer and 1 <= value <= highest, f"an integer from 1 to {highest}")


def _is_number(value) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _check_sampling_rate(rate):
    lowest, highest = SAMPLING_RATES
    is_valid = _is_number(rate) and lowest <= rate <= highest
    _require("sampling_rate", rate, is_valid, f"a number between {lowest} and {highest} Hz")


def _is_batch(raw_audio) -> bool:
    """Whether this is a list of clips, as opposed to a list of numbers, which is one clip."""
    if not isinstance(raw_audio, (list, tuple)):
        return False
    return len(raw_audio) == 0 or not (_is_number(raw_audio[0]) or getattr(raw_audio[0], "ndim", None) == 0)


def _read_array(audio, from_rate: float, to_rate: float) -> Iterator[np.ndarray]:
    """Yield an array, a tensor or a list of numbers as blocks of mono float32 at `to_rate`."""
    _check_sampling_rate(from_rate)
    frames = _to_frames(audio)
    size = _num_frames(BLOCK_SAMPLES, frames.shape[1], from_rate, to_rate)
    return _resample((frames[i : i + size] for i in range(0, len(frames), size)), from_rate, to_rate)


def _to_frames(audio) -> np.ndarray:
    """Convert whatever holds samples to an array (samples, channels) of the same dtype, without a copy."""
    if isinstance(audio, torch.Tensor):
        if audio.is_meta or audio.is_nested or audio.is_quantized or audio.layout != torch.strided:
            raise ValueError("audio tensors must be dense; got a meta, nested, sparse or quantized tensor")
        # numpy has no bfloat16
        audio = (audio.float() if audio.dtype == torch.bfloat16 else audio).numpy(force=True)
    elif not isinstance(audio, (list, tuple)) and not hasattr(audio, "__array__"):
        raise TypeError(f"audio must be an array, a tensor, a list of numbers or a file; got {type(audio).__name__}")
    audio = np.asarray(audio)
    if audio.ndim not in (1, 2):
        raise ValueError(f"a clip has shape (samples,), (channels, samples) or (samples, channels); got {audio.shape}")
    if audio.size == 0:
        raise ValueError("the audio is empty: it has no samples")
    if audio.dtype.kind != "f" and audio.dtype.newbyteorder("=") not in (np.int8, np.int16, np.int32, np.uint8):
        raise ValueError(f"audio must be float, int16, int32, int8 or uint8; got {audio.dtype}")
    audio = np.atleast_2d(audio)
    num_channels = min(audio.shape)
    if num_channels > MAX_CHANNELS:
        raise ValueError(f"a clip has at most {MAX_CHANNELS} channels; got {audio.shape}: pass a batch as a list")
    if audio.shape[0] > num_channels:
        return audio
    if num_channels > 2:
        logger.warning_once(
            "An array of shape (channels, samples) with more than two channels was passed: it is mixed down to one "
            "clip. If its rows are clips, pass a list of them."
        )
    return audio.T


def _num_frames(num_samples: int, channels: int, from_rate: float, to_rate: float) -> int:
    """Frames (one sample of each channel) that take `num_samples`, decoded or resampled, whichever is more."""
    return num_samples // max(channels, math.ceil(to_rate / from_rate))


def _resample(blocks: Iterable[np.ndarray], from_rate: float, to_rate: float) -> Iterator[np.ndarray]:
    """Mix blocks (samples, channels) down and resample them; equal rates leave the samples unchanged."""
    resampler = soxr.ResampleStream(from_rate, to_rate, num_channels=1)
    for block in blocks:
        yield resampler.resample_chunk(_to_mono(block))
    yield resampler.resample_chunk(np.empty(0, np.float32), last=True)


def _to_mono(frames: np.ndarray) -> np.ndarray:
    """Float or integer PCM (samples, channels) -> float32 (samples,)."""
    if frames.dtype == np.uint8:  # unsigned PCM has its zero in the middle
        frames = (frames.astype(np.float32) - 128) / 128
    elif frames.dtype.kind == "i":
        frames = frames.astype(np.float32) / -float(np.iinfo(frames.dtype).min)
    with np.errstate(over="ignore", invalid="ignore"):  # rejected below
        mono = frames.astype(np.float32, copy=False).mean(axis=1)
    peak = np.abs(mono).max(initial=0)
    if not np.isfinite(peak):
        raise ValueError("the audio holds NaN or infinite samples")
    if peak > MAX_PEAK:
        raise ValueError(f"float audio must be in [-1, 1]; got a sample of {peak:g}")
    return mono


def _read_file(file, to_rate: float, max_samples: int) -> Iterator[np.ndarray]:
    """Yield an audio file (path, content or binary file object) as blocks of mono float32 at `to_rate`."""
    name, opened = _open(file)
    try:
        with opened as source:
            source.seek(0)
            # Without the file's name: soundfile would trust the suffix .raw.
            source = SimpleNamespace(read=source.read, seek=source.seek, tell=source.tell)
            with soundfile.SoundFile(source) as sound:
                _check_header(sound, name, to_rate, max_samples)
                size = _num_frames(BLOCK_SAMPLES, sound.channels, sound.samplerate, to_rate)
                yield from _resample(_read_blocks(sound, size), sound.samplerate, to_rate)
                if _is_truncated(sound):
                    raise ValueError(f"{name} is truncated after {sound.tell()} samples: copy it again")
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{name} cannot be read as audio (wav, flac, ogg or mp3): {error.error_string}") from error


def _open(file) -> tuple[str, AbstractContextManager]:
    """Name of a file for error messages, and the opened file."""
    if hasattr(file, "read"):
        if not (getattr(file, "seekable", bool)() and isinstance(file.read(0), bytes)):
            raise TypeError("a file object must be binary and seekable: open it with mode 'rb', or pass file.read()")
        return "the audio", nullcontext(file)
    if not isinstance(file, (str, os.PathLike)):
        return "the audio", io.BytesIO(file)
    name = repr(os.fsdecode(file))
    if not stat.S_ISREG(os.stat(file).st_mode):  # opening a pipe would wait for a writer
        raise ValueError(f"{name} is not a file, but a folder, a pipe or a device")
    return name, open(file, "rb")


def _read_blocks(sound: soundfile.SoundFile, size: int) -> Iterator[np.ndarray]:
    """As `sound.blocks`, whose last block of a truncated file has uninitialized samples."""
    while len(block := sound.read(size, dtype="float32", always_2d=True)) > 0:
        yield block


def _check_header(sound: soundfile.SoundFile, name: str, to_rate: float, max_samples: int):
    _check_sampling_rate(sound.samplerate)
    if sound.channels > MAX_CHANNELS:
        raise ValueError(f"{name} has {sound.channels} channels; a clip has at most {MAX_CHANNELS}")
    if sound.frames > _num_frames(max_samples, sound.channels, sound.samplerate, to_rate):
        raise ValueError(f"{name} is too long, or does not say how long it is (a piped flac?): cut or convert it")


def _is_truncated(sound: soundfile.SoundFile) -> bool:
    """Whether a file that was read ended before its header says; libsndfile reports no error."""
    if sound.tell() < 0.99 * sound.frames:  # an mp3 header may be off by a frame or two
        return True
    # ogg: the last page is incomplete, or not marked as the last one
    if re.search("end-of-stream|junk after the last page", sound.extra_info, re.IGNORECASE):
        return True
    # wav; recorders that cannot seek back write the largest possible size
    data_chunk = re.search(r"^data : (\d+) \(should be (\d+)\)", sound.extra_info, re.MULTILINE)
    return data_chunk is not None and int(data_chunk[2]) < int(data_chunk[1]) < 2**31 - 2**16
