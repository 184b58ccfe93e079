"""From anything a user has to what SampleCNN hears: mono float32 at the model's rate, cut into segments."""

import io
import math
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from itertools import chain
from types import SimpleNamespace

import numpy as np
import soundfile
import soxr
import torch
from transformers import BatchFeature, SequenceFeatureExtractor
from transformers.utils import PaddingStrategy, logging

logger = logging.get_logger(__name__)

SAMPLING_RATES = (1_000, 1_000_000)  # Hz; anything else is a mistake, or an attack on the memory
SHORT_CLIPS = ("zero", "tile", "repeat")
MAX_CHANNELS = 8  # 7.1 sound; a 2-D array with more rows and columns than this is a batch
MAX_PEAK = 2**15  # of float samples, which should be in [-1, 1]; larger ones overflow in the network
MAX_SEGMENT_LENGTH = 2**24  # samples: twelve minutes at 22,050 Hz
BLOCK_SAMPLES = 2**20  # decoded (of all channels) or resampled at a time: 4 MiB
MAX_SAMPLES = 2**28  # of a clip that is held in memory as a whole: 1 GiB, three hours at 22,050 Hz
MAX_FILE_SAMPLES = 2**33  # decoded (of all channels) or resampled from one file: a day of stereo at 48 kHz


class SampleCNNFeatureExtractor(SequenceFeatureExtractor):
    """
    Cuts clips into the segments SampleCNN classifies (Table I; section IV-D).

    Args:
        feature_size (`int`, defaults to 1): channels of the waveform; SampleCNN is mono.
        sampling_rate (`int`, defaults to 22050): rate of the model in Hz; other rates are resampled with soxr.
        padding_value (`float`, defaults to 0.0): value of the samples after the end of a clip.
        segment_length (`int`, defaults to 59049): samples per segment.
        hop_length (`int`, *optional*): samples between the starts of two segments; `segment_length` (consecutive
            segments) by default.
        max_segments (`int`, *optional*): keep the first `max_segments` of a clip.
        drop_last (`bool`, defaults to `False`): drop the last segment if the clip ends within it, instead of padding
            it. With `max_segments=10` this is the paper's "10 segments per clip". A clip shorter than one segment is
            kept.
        short_clips (`str`, defaults to `"zero"`): how to fill up a clip shorter than a segment: `"zero"` appends
            `padding_value`, `"tile"` repeats the clip. `"repeat"` repeats each sample, which slows the sound down, and
            fills up all of `max_segments`: so the authors' code does.
        do_normalize (`bool`, defaults to `False`): zero mean and unit variance for each segment (section VII-D).
        mean, std (`float`, default to 0.0 and 1.0): statistics of the dataset; the model gets (x - mean) / std.
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
        if feature_size != 1:
            raise ValueError(f"SampleCNN is mono: feature_size must be 1; got {feature_size}")
        _check_sampling_rate(sampling_rate)
        if not _is_count(segment_length) or segment_length > MAX_SEGMENT_LENGTH:
            raise ValueError(f"segment_length must be between 1 and {MAX_SEGMENT_LENGTH}; got {segment_length!r}")
        if hop_length is not None and not (_is_count(hop_length) and hop_length <= segment_length):
            raise ValueError(f"hop_length must be between 1 and segment_length={segment_length}; got {hop_length!r}")
        if max_segments is not None and not _is_count(max_segments):
            raise ValueError(f"max_segments must be at least 1; got {max_segments!r}")
        if short_clips not in SHORT_CLIPS:
            raise ValueError(f"short_clips must be one of {', '.join(SHORT_CLIPS)}; got {short_clips!r}")
        for name, value in (("padding_value", padding_value), ("mean", mean), ("std", std)):
            if not (_is_number(value) and math.isfinite(value)):
                raise ValueError(f"{name} must be a finite number; got {value!r}")
        if not std > 0:
            raise ValueError(f"std must be positive; got {std}")
        self.segment_length = segment_length
        self.hop_length = hop_length
        self.max_segments = max_segments
        self.drop_last = drop_last
        self.short_clips = short_clips
        self.do_normalize = do_normalize
        self.mean = mean
        self.std = std
        if self.filled_length > MAX_SEGMENT_LENGTH:
            raise ValueError(
                f"short_clips='repeat' fills up at most {MAX_SEGMENT_LENGTH} samples; max_segments={max_segments} has "
                f"{self.filled_length}"
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
            raw_audio: a clip, or a list (or tuple) of clips. A clip is one of

                - a numpy array, a torch tensor or a list of numbers: float in [-1, 1] or integer PCM (int16, int32,
                  int8 or uint8), of shape (samples,), (channels, samples) or (samples, channels). The shorter axis
                  holds the channels, at most 8; if both are equally long, the first one does;
                - an audio file (wav, flac, ogg, mp3 and whatever else libsndfile reads): its path, its content
                  (`bytes`, `bytearray`, `memoryview`) or a binary file object.
            sampling_rate (`int`, *optional*): rate of the arrays in Hz. The model's own rate is assumed by default,
                with one warning. Files have their own.
            return_tensors (`str`, *optional*): `"pt"` for torch tensors, `"np"` (default) for numpy arrays.
            padding (`bool` or `str`, defaults to `True`): `True` or `"longest"` to pad the batch to the clip with
                the most segments, `"max_length"` to the segments of `max_length` samples, `False` not to pad.
            max_length (`int`, *optional*): samples at the model's rate, for `truncation` and `padding="max_length"`.
            truncation (`bool`, defaults to `False`): cut clips off after `max_length` samples.
            return_attention_mask (`bool`, *optional*): whether to return the `attention_mask`; by default, it is.

        Returns:
            `BatchFeature` with `input_values`, float32 [batch, segments, samples], and `attention_mask`, int64
            [batch, segments], 1 for a segment of the clip and 0 for padding of the batch.

        Raises:
            `ValueError` or `TypeError` for anything that is not sound: an empty clip, a wrong shape or type, NaN,
            infinite or huge samples, an invalid sampling rate, a damaged file. `OSError` if a file cannot be opened.
        """
        if max_length is not None and not _is_count(max_length):
            raise ValueError(f"max_length must be a positive number of samples; got {max_length!r}")
        if truncation and max_length is None:
            raise ValueError("truncation=True needs max_length, the number of samples to keep")
        clips = raw_audio if _is_batch(raw_audio) else [raw_audio]
        if len(clips) == 0:
            raise ValueError("there is no audio: the list of clips is empty")
        waveforms = [self.to_waveform(clip, sampling_rate)[: max_length if truncation else None] for clip in clips]
        return self.pad(
            {"input_values": [self.normalize(self.segment(waveform)) for waveform in waveforms]},
            padding=padding,
            max_length=None if max_length is None else len(self.segment_starts(max_length)),
            return_attention_mask=return_attention_mask,
            return_tensors=return_tensors,
        )

    def pad(
        self,
        processed_features,
        padding: bool | str | PaddingStrategy = True,
        max_length: int | None = None,
        truncation: bool = False,
        pad_to_multiple_of: int | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
    ) -> BatchFeature:
        """
        Pad prepared clips to the same number of segments, as a data collator does.

        Args:
            processed_features: what `__call__` returned, or a list of its rows, with other columns (labels) or
                without: `input_values` holds [segments, samples] for each clip. Waveforms (samples,) work as well.
            padding (`bool` or `str`, defaults to `True`): `True` or `"longest"`, `"max_length"`, or `False`.
            max_length (`int`, *optional*): here in segments, as `pad_to_multiple_of` is (samples for waveforms).
            truncation (`bool`, defaults to `False`): cut clips off after `max_length` segments.
            pad_to_multiple_of (`int`, *optional*): round the length up to a multiple of this.
            return_attention_mask (`bool`, *optional*): whether to return the `attention_mask`; by default, it is.
            return_tensors (`str`, *optional*): `"pt"` or `"np"`; by default what the clips are.

        Raises:
            `ValueError` where `max_length` is missing, and for tensors of clips that are not padded.
        """
        if isinstance(processed_features, (list, tuple)):
            keys = processed_features[0] if processed_features else ()
            processed_features = {key: [row[key] for row in processed_features] for key in keys}
        data = dict(processed_features)
        if "input_values" not in data:
            raise ValueError(f"there are no input_values to pad, only {', '.join(map(str, data)) or 'nothing'}")
        strategy = PaddingStrategy({True: "longest", False: "do_not_pad"}.get(padding, padding))
        if max_length is None and (truncation or strategy == PaddingStrategy.MAX_LENGTH):
            raise ValueError("truncation=True and padding='max_length' need max_length")
        if return_tensors is None and len(data["input_values"]) > 0:
            return_tensors = "pt" if isinstance(data["input_values"][0], torch.Tensor) else "np"

        def rounded(length: int) -> int:
            return math.ceil(length / (pad_to_multiple_of or 1)) * (pad_to_multiple_of or 1)

        clips = [np.asarray(clip, dtype=np.float32) for clip in data["input_values"]]
        masks = [np.asarray(mask) for mask in data.get("attention_mask", [np.ones(len(c), np.int64) for c in clips])]
        if truncation:
            clips, masks = ([x[: rounded(max_length)] for x in column] for column in (clips, masks))
        if strategy != PaddingStrategy.DO_NOT_PAD:
            longest = max(map(len, clips), default=0)
            length = rounded(longest if strategy == PaddingStrategy.LONGEST else max_length)
            clips = [self._extend(clip, length, self.padding_value) for clip in clips]
            masks = [self._extend(mask, length, 0) for mask in masks]
        data |= {"input_values": clips, "attention_mask": masks}
        if not (self.return_attention_mask if return_attention_mask is None else return_attention_mask):
            del data["attention_mask"]
        if len(set(map(len, clips))) <= 1:
            return BatchFeature(data, tensor_type=return_tensors)
        if return_tensors == "pt":
            raise ValueError("the clips have different numbers of segments: tensors of them need padding=True")
        return BatchFeature(data)

    def _extend(self, x: np.ndarray, length: int, value: float) -> np.ndarray:
        missing = max(0, length - len(x))
        sides = (missing, 0) if self.padding_side == "left" else (0, missing)
        return np.pad(x, [sides] + [(0, 0)] * (x.ndim - 1), constant_values=value)

    def to_waveform(
        self,
        audio,
        sampling_rate: int | None = None,
        max_samples: int = MAX_SAMPLES,
        max_file_samples: int = MAX_FILE_SAMPLES,
    ) -> np.ndarray:
        """
        One clip as mono float32 (samples,) at the model's rate. See `__call__` for what a clip is.

        Raises `ValueError` as soon as there are more than `max_samples` samples, and at once for a file that has, or
        resampled would have, more than `max_file_samples` samples of all channels.
        """
        blocks, num_samples = [], 0
        for block in self.to_blocks(audio, sampling_rate, max_file_samples):
            blocks.append(block)
            num_samples += len(block)
            if num_samples > max_samples:
                raise ValueError(
                    f"the clip is too long: more than {max_samples / self.sampling_rate / 60:.0f} minutes"
                )
        return np.concatenate(blocks)

    def to_blocks(
        self, audio, sampling_rate: int | None = None, max_file_samples: int = MAX_FILE_SAMPLES
    ) -> Iterator[np.ndarray]:
        """The same in blocks of about `BLOCK_SAMPLES`: a file of any length is read in bounded memory."""
        if isinstance(audio, (str, os.PathLike, bytes, bytearray, memoryview)) or hasattr(audio, "read"):
            if sampling_rate is not None:
                raise ValueError("an audio file has its own sampling rate: pass sampling_rate for arrays only")
            blocks = _decode(audio, self.sampling_rate, max_file_samples)
        else:
            if sampling_rate is None:
                logger.warning_once(
                    f"No sampling_rate was passed: the audio is assumed to be at {self.sampling_rate} Hz. Pass "
                    "sampling_rate=... so that other rates are resampled instead of heard at the wrong speed."
                )
                sampling_rate = self.sampling_rate
            _check_sampling_rate(sampling_rate)
            blocks = _resample(
                _split(_to_frames(audio), sampling_rate, self.sampling_rate), sampling_rate, self.sampling_rate
            )
        num_samples = 0
        for block in blocks:
            num_samples += len(block)
            if len(block) > 0:
                yield block
        if num_samples == 0:
            raise ValueError("the audio is empty: it has no samples")

    @property
    def filled_length(self) -> int:
        """The number of samples that shorter clips are filled up to."""
        num_segments = (self.max_segments or 1) if self.short_clips == "repeat" else 1
        return self.segment_length + (num_segments - 1) * (self.hop_length or self.segment_length)

    def fill(self, waveform: np.ndarray) -> np.ndarray:
        """Fill up a short waveform (samples,) of any dtype, as `short_clips` says; return any other as it is."""
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
        """Cut a waveform (samples,) of any dtype into its segments [segments, segment_length], padded at the end."""
        return np.stack(list(self.segment_blocks([waveform])))

    def segment_blocks(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The same for a waveform in blocks, one segment (segment_length,) at a time; reads no more than it needs."""
        hop_length, length = self.hop_length or self.segment_length, self.segment_length
        blocks = iter(blocks)
        start = next(blocks)
        while len(start) < self.filled_length and (block := next(blocks, None)) is not None:
            start = np.concatenate([start, block])
        count, rest = 0, start[:0]  # `rest` begins where the next segment does
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


def _resample(blocks: Iterable[np.ndarray], from_rate: float, to_rate: float) -> Iterator[np.ndarray]:
    if from_rate == to_rate:
        yield from blocks
        return
    resampler = soxr.ResampleStream(from_rate, to_rate, num_channels=1)
    for block in blocks:
        yield resampler.resample_chunk(block)
    yield resampler.resample_chunk(np.empty(0, np.float32), last=True)


def _samples_per_frame(channels: int, from_rate: float, to_rate: float) -> int:
    """How many samples a frame (a sample of each channel) is, decoded or resampled, whichever is more."""
    return max(channels, math.ceil(to_rate / from_rate))


def _to_mono(frames: np.ndarray) -> np.ndarray:
    """Float or integer PCM, (samples,) or (samples, channels) -> float32 (samples,)."""
    if frames.dtype == np.uint8:  # unsigned PCM has its zero in the middle
        frames = (frames.astype(np.float32) - 128) / 128
    elif frames.dtype.kind == "i":
        frames = frames.astype(np.float32) / -float(np.iinfo(frames.dtype).min)
    with np.errstate(over="ignore", invalid="ignore"):  # refused below
        frames = frames.astype(np.float32, copy=False)
        mono = frames.mean(axis=1) if frames.ndim == 2 else frames
    peak = np.abs(mono).max(initial=0)
    if not np.isfinite(peak):
        raise ValueError("the audio holds NaN or infinite samples")
    if peak > MAX_PEAK:
        raise ValueError(f"float audio must be in [-1, 1]; got a sample of {peak:g}")
    return np.ascontiguousarray(mono)


def _is_count(value) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= 1


def _is_number(value) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _check_sampling_rate(sampling_rate):
    if not _is_number(sampling_rate):
        raise ValueError(f"sampling_rate must be a number in Hz; got {sampling_rate!r}")
    lowest, highest = SAMPLING_RATES
    if not lowest <= sampling_rate <= highest:
        raise ValueError(f"sampling_rate must be between {lowest} and {highest} Hz; got {sampling_rate}")


def _is_batch(raw_audio) -> bool:
    """A list of clips, as opposed to a list of numbers, which is one clip."""
    if not isinstance(raw_audio, (list, tuple)):
        return False
    return len(raw_audio) == 0 or not (_is_number(raw_audio[0]) or getattr(raw_audio[0], "ndim", None) == 0)


def _to_frames(audio) -> np.ndarray:
    """Whatever holds samples -> an array (samples,) or (samples, channels) of its own dtype, not copied."""
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
    if audio.ndim == 1:
        return audio
    if min(audio.shape) > MAX_CHANNELS:
        raise ValueError(
            f"a clip has at most {MAX_CHANNELS} channels; got shape {audio.shape}. Pass a batch as a list"
        )
    if np.argmin(audio.shape) == 1:
        return audio
    if len(audio) > 2:
        logger.warning_once(
            "An array of shape (channels, samples) with more than two channels was passed: it is mixed down to one "
            "clip. If its rows are clips, pass a list of them."
        )
    return audio.T


def _split(frames: np.ndarray, from_rate: float, to_rate: float) -> Iterator[np.ndarray]:
    """An array (samples,) or (samples, channels) -> mono float32 blocks."""
    size = max(1, BLOCK_SAMPLES // _samples_per_frame(frames[0].size, from_rate, to_rate))
    for start in range(0, len(frames), size):
        yield _to_mono(frames[start : start + size])


def _decode(file, to_rate: float, max_samples: int) -> Iterator[np.ndarray]:
    """An audio file (path, content or binary file object) -> blocks of mono float32 at `to_rate`, without ffmpeg."""
    if isinstance(file, (str, os.PathLike)):
        name, opened = repr(os.fsdecode(file)), _open(file)
    elif hasattr(file, "read"):
        _check_file_object(file)
        name, opened = "the audio", nullcontext(file)
    else:
        name, opened = "the audio", io.BytesIO(file)
    try:
        with opened as source:
            source.seek(0)
            if not source.read(1):
                raise ValueError(f"{name} cannot be read as audio: it is empty")
            source.seek(0)
            # Without the file's name: soundfile would take the suffix .raw at its word.
            source = SimpleNamespace(read=source.read, seek=source.seek, tell=source.tell)
            with soundfile.SoundFile(source) as sound:
                yield from _resample(_read(sound, name, to_rate, max_samples), sound.samplerate, to_rate)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{name} cannot be read as audio (wav, flac, ogg or mp3): {error.error_string}") from error


def _open(path: str | os.PathLike) -> io.BufferedReader:
    """Open a file for reading; never waits for a pipe or a device."""
    if "\0" in os.fsdecode(path):
        raise ValueError(f"{os.fsdecode(path)!r} is not a path: it has a null character")
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"{os.fsdecode(path)!r} is not a file, but a folder, a pipe or a device")
    return open(descriptor, "rb")


def _check_file_object(file):
    seekable = getattr(file, "seekable", None)
    if not (callable(seekable) and seekable() and isinstance(file.read(0), bytes)):
        raise TypeError("a file object must be binary and seekable: open it with mode 'rb', or pass file.read()")


def _read(sound: soundfile.SoundFile, name: str, to_rate: float, max_samples: int) -> Iterator[np.ndarray]:
    _check_sampling_rate(sound.samplerate)
    if sound.channels > MAX_CHANNELS:
        raise ValueError(f"{name} has {sound.channels} channels; a clip has at most {MAX_CHANNELS}")
    samples_per_frame = _samples_per_frame(sound.channels, sound.samplerate, to_rate)
    if sound.frames * samples_per_frame > max_samples:
        raise ValueError(f"{name} is too long, or does not say how long it is (a piped flac?): cut or convert it")
    size = max(1, BLOCK_SAMPLES // samples_per_frame)
    num_frames, block = 0, None
    while block is None or len(block) == size:
        block = sound.read(size, dtype="float32", always_2d=True)
        num_frames += len(block)
        yield _to_mono(block)
    if _is_cut_off(sound, num_frames):
        raise ValueError(f"{name} is cut off: only {num_frames} samples of it are there; copy it again")


def _is_cut_off(sound: soundfile.SoundFile, num_frames: int) -> bool:
    """Whether the file ends before its header says so (libsndfile reads what is there and goes on)."""
    if num_frames < 0.99 * sound.frames:  # an mp3 header may be off by a frame or two
        return True
    # ogg: the last page does not say that it is the last, or is not whole
    if re.search("end-of-stream|junk after the last page", sound.extra_info, re.IGNORECASE):
        return True
    data_chunk = re.search(r"^data : (\d+) \(should be (\d+)\)", sound.extra_info, re.MULTILINE)  # wav
    # Recorders that cannot seek back leave the largest number there is as the size.
    return data_chunk is not None and int(data_chunk[2]) < int(data_chunk[1]) < 2**31 - 2**16
