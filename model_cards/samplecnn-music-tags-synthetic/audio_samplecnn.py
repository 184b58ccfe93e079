"""Audio files and arrays in blocks of mono float32 at the model's rate, and segments of them.

For the feature extractor, and without torch or transformers for `samplecnn_hf.runtime`.
"""

import io
import logging
import math
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from itertools import chain
from types import SimpleNamespace

import numpy as np
import soundfile
import soxr

from .containers_samplecnn import ContainerFile, container_format

logger = logging.getLogger(__name__)

SAMPLING_RATES = (1_000, 1_000_000)  # Hz
SHORT_CLIPS = ("zero", "tile", "repeat")
MAX_CHANNELS = 8  # 7.1 audio; a 2-D array with more rows and columns than this is a batch
MAX_PEAK = 64  # of float samples, which should be in [-1, 1]; those of 16-bit integers are larger
MAX_SEGMENT_LENGTH = 2**24  # samples: 12 minutes at 22,050 Hz
BLOCK_SAMPLES = 2**20  # decoded (of all channels) or resampled at a time: 4 MiB
MAX_SAMPLES = 2**28  # of a clip held in memory: 1 GiB, 3 hours at 22,050 Hz
MAX_FILE_SAMPLES = 2**33  # decoded (of all channels) or resampled from one file: a day of stereo at 48 kHz


class SampleCNNSegmenter:
    """
    Reads clips and cuts them into segments. The options are those of `SampleCNNFeatureExtractor`.

    Raises:
        ValueError: An option is invalid.
    """

    def __init__(
        self,
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
    ):
        check_sampling_rate(sampling_rate)
        require_count("segment_length", segment_length, MAX_SEGMENT_LENGTH)
        if hop_length is not None:
            require_count("hop_length", hop_length, segment_length)
        if max_segments is not None:
            require_count("max_segments", max_segments, MAX_SAMPLES)
        require("short_clips", short_clips, short_clips in SHORT_CLIPS, f"one of {', '.join(SHORT_CLIPS)}")
        for name, value in (("padding_value", padding_value), ("mean", mean), ("std", std)):
            require(name, value, is_number(value) and math.isfinite(value), "a finite number")
        require("std", std, std > 0, "positive")
        self.sampling_rate = sampling_rate
        self.padding_value = padding_value
        self.segment_length = segment_length
        self.hop_length = hop_length
        self.max_segments = max_segments
        self.drop_last = drop_last
        self.short_clips = short_clips
        self.do_normalize = do_normalize
        self.mean = mean
        self.std = std
        require_count("max_segments * hop_length with short_clips='repeat'", self.filled_length, MAX_SEGMENT_LENGTH)

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
                raise ValueError(f"the clip is too long: cut it to {minutes:.0f} minutes or less")
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
                warn_once(
                    f"No sampling_rate was passed: the audio is assumed to be at {self.sampling_rate} Hz. Pass "
                    "sampling_rate=... to resample other rates."
                )
                sampling_rate = self.sampling_rate
            blocks = _read_array(audio, sampling_rate, self.sampling_rate)
        is_empty = True  # also if resampling leaves no sample
        for block in blocks:
            if len(block) > 0:
                is_empty = False
                yield block
        if is_empty:
            raise ValueError(f"the audio is empty: it has no samples at {self.sampling_rate} Hz")

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
        yield from self.last_segments(rest)

    def last_segments(self, rest: np.ndarray) -> list[np.ndarray]:
        """
        The last segment, padded, or none if the complete ones hold all samples.

        Args:
            rest: The samples from one hop after the start of the last complete segment on.
        """
        length = self.segment_length
        if self.drop_last or len(rest) <= length - (self.hop_length or length):
            return []
        return [np.pad(rest, (0, length - len(rest)), constant_values=self.padding_value)]

    def normalize(self, segments):
        """Apply `mean`, `std` and `do_normalize` to float segments [..., samples], a numpy array or a torch tensor."""
        if self.mean != 0.0 or self.std != 1.0:
            segments = (segments - self.mean) / self.std
        if self.do_normalize:
            centered = segments - segments.mean(-1, keepdims=True)
            segments = centered / ((centered**2).mean(-1, keepdims=True) + 1e-7) ** 0.5
        return segments


@cache
def warn_once(message: str):
    logger.warning(message)


def require(name: str, value, is_valid: bool, rule: str):
    if not is_valid:
        raise ValueError(f"{name} must be {rule}; got {value!r}")


def require_count(name: str, value, highest: int):
    is_integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    require(name, value, is_integer and 1 <= value <= highest, f"an integer from 1 to {highest}")


def is_number(value) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def check_sampling_rate(rate, name: str = "sampling_rate"):
    lowest, highest = SAMPLING_RATES
    is_valid = is_number(rate) and lowest <= rate <= highest
    require(name, rate, is_valid, f"a number between {lowest} and {highest} Hz")


def is_batch(raw_audio) -> bool:
    """Whether this is a list of clips, as opposed to a list of numbers, which is one clip."""
    if not isinstance(raw_audio, (list, tuple)):
        return False
    return len(raw_audio) == 0 or not (is_number(raw_audio[0]) or getattr(raw_audio[0], "ndim", None) == 0)


def _read_array(audio, from_rate: float, to_rate: float) -> Iterator[np.ndarray]:
    """Yield an array, a tensor or a list of numbers as blocks of mono float32 at `to_rate`."""
    check_sampling_rate(from_rate)
    frames = _to_frames(audio)
    size = _num_frames(BLOCK_SAMPLES, frames.shape[1], from_rate, to_rate)
    return _resample((frames[i : i + size] for i in range(0, len(frames), size)), from_rate, to_rate)


def _to_frames(audio) -> np.ndarray:
    """Convert whatever holds samples to an array (samples, channels) of the same dtype, without a copy."""
    if not isinstance(audio, (list, tuple)) and not hasattr(audio, "__array__"):
        raise TypeError(f"audio must be an array, a tensor, a list of numbers or a file; got {type(audio).__name__}")
    audio = np.asarray(audio)
    if audio.ndim not in (1, 2):
        raise ValueError(f"a clip has shape (samples,), (channels, samples) or (samples, channels); got {audio.shape}")
    if audio.size == 0:
        raise ValueError("the audio is empty: it has no samples")
    check_dtype(audio)
    audio = np.atleast_2d(audio)
    num_channels = min(audio.shape)
    if num_channels > MAX_CHANNELS:
        raise ValueError(f"a clip has at most {MAX_CHANNELS} channels; got {audio.shape}: pass a batch as a list")
    if audio.shape[0] > num_channels:
        return audio
    if num_channels > 2:
        warn_once(
            "An array of shape (channels, samples) with more than two channels was passed: it is mixed down to one "
            "clip. If its rows are clips, pass a list of them."
        )
    return audio.T


def check_dtype(audio: np.ndarray):
    if audio.dtype.kind != "f" and audio.dtype.newbyteorder("=") not in (np.int8, np.int16, np.int32, np.uint8):
        raise ValueError(f"audio must be float, int16, int32, int8 or uint8; got {audio.dtype}")


def _num_frames(num_samples: int, channels: int, from_rate: float, to_rate: float) -> int:
    """Frames (one sample of each channel) that take `num_samples`, decoded or resampled, whichever is more."""
    return num_samples // max(channels, math.ceil(to_rate / from_rate))


def _resample(
    blocks: Iterable[np.ndarray], from_rate: float, to_rate: float, name: str = "the audio"
) -> Iterator[np.ndarray]:
    """Mix blocks (samples, channels) down and resample them; equal rates leave the samples unchanged."""
    resampler = soxr.ResampleStream(from_rate, to_rate, num_channels=1)
    for block in blocks:
        yield resampler.resample_chunk(to_mono(block, name))
    yield resampler.resample_chunk(np.empty(0, np.float32), last=True)


def to_mono(frames: np.ndarray, name: str = "the audio") -> np.ndarray:
    """Float or integer PCM (samples, channels) -> float32 (samples,); `name` is that in errors."""
    if frames.dtype == np.uint8:  # unsigned PCM has its zero in the middle
        frames = (frames.astype(np.float32) - 128) / 128
    elif frames.dtype.kind == "i":
        frames = frames.astype(np.float32) / -float(np.iinfo(frames.dtype).min)
    with np.errstate(over="ignore", invalid="ignore"):  # rejected below
        mono = frames.astype(np.float32, copy=False).mean(axis=1)
    peak = np.abs(mono).max(initial=0)
    if not np.isfinite(peak):
        raise ValueError(f"{name} holds NaN or infinite samples")
    if peak > MAX_PEAK:
        raise ValueError(
            f"{name} has a sample of {peak:g}; float audio must be in [-1, 1]: divide 16-bit samples by 32768"
        )
    return mono


def read_sampling_rate(file) -> int:
    """Sampling rate in Hz of an audio file (path, content or binary file object). Raises as `to_waveform`."""
    with _open_sound(file) as (sound, _):
        return sound.samplerate


def _read_file(file, to_rate: float, max_samples: int) -> Iterator[np.ndarray]:
    """Yield an audio file (path, content or binary file object) as blocks of mono float32 at `to_rate`."""
    with _open_sound(file) as (sound, name):
        size, longest = (
            _num_frames(samples, sound.channels, sound.samplerate, to_rate) for samples in (BLOCK_SAMPLES, max_samples)
        )
        _check_header(sound, name, longest)
        yield from _resample(_read_blocks(sound, name, size, longest), sound.samplerate, to_rate, name)
        if _is_truncated(sound):
            raise ValueError(f"{name} is truncated after {sound.tell()} samples: copy it again")
        if sound.tell() == 0:
            raise ValueError(f"{name} is empty: it has no samples")


@contextmanager
def _open_sound(file) -> Iterator[tuple[soundfile.SoundFile | ContainerFile, str]]:
    """An opened audio file, and its name for error messages. Errors of libsndfile become a `ValueError`."""
    name, opened = _open(file)
    try:
        with opened as source:
            source.seek(0)
            container = container_format(source.read(12))
            source.seek(0)
            # Without the file's name: soundfile would trust the suffix .raw.
            source = SimpleNamespace(read=source.read, seek=source.seek, tell=source.tell)
            with ContainerFile(source, container, name) if container else soundfile.SoundFile(source) as sound:
                yield sound, name
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


def _read_blocks(sound: soundfile.SoundFile | ContainerFile, name: str, size: int, longest: int):
    """Yield as `sound.blocks`, whose last block of a truncated file has uninitialized samples."""
    while len(block := sound.read(size, dtype="float32", always_2d=True)) > 0:
        _check_length(sound.tell(), name, longest)  # not all headers say how long a file is
        yield block


def _check_header(sound: soundfile.SoundFile | ContainerFile, name: str, longest: int):
    check_sampling_rate(sound.samplerate, f"the sampling rate of {name}")
    if sound.channels > MAX_CHANNELS:
        raise ValueError(f"{name} has {sound.channels} channels; a clip has at most {MAX_CHANNELS}")
    _check_length(sound.frames, name, longest)


def _check_length(num_frames: int, name: str, longest: int):
    if num_frames > longest:
        raise ValueError(f"{name} is too long, or does not say how long it is (a piped flac?): cut or convert it")


def _is_truncated(sound: soundfile.SoundFile | ContainerFile) -> bool:
    """Whether a file that was read ended before its header says; libsndfile reports no error."""
    if sound.tell() < 0.99 * sound.frames:  # an mp3 header may be off by a frame or two
        return True
    # ogg: the last page is incomplete, or not marked as the last one
    if re.search("end-of-stream|junk after the last page", sound.extra_info, re.IGNORECASE):
        return True
    # wav; recorders that cannot seek back write the largest possible size
    data_chunk = re.search(r"^data : (\d+) \(should be (\d+)\)", sound.extra_info, re.MULTILINE)
    return data_chunk is not None and int(data_chunk[2]) < int(data_chunk[1]) < 2**31 - 2**16
