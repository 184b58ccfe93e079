"""From anything a user has to what SampleCNN hears: mono float32 at the model's rate, cut into segments."""

import io
import math
import os
import re
from pathlib import Path

import numpy as np
import soundfile
import soxr
from transformers import BatchFeature, SequenceFeatureExtractor
from transformers.utils import logging

logger = logging.get_logger(__name__)

MAX_CHANNELS = 8  # a 2-D array with more rows and columns than this is a batch passed by mistake, not 7.1 sound
SAMPLING_RATES = (1_000, 1_000_000)  # Hz; what lies outside is a mistake, or an attack on the memory
BLOCK_FRAMES = 2**22  # a minute and a half at 44.1 kHz
MAX_FRAMES = 2**32  # a day at 48 kHz; a file that does not know its length says 2**63 - 1
SHORT_CLIPS = ("zero", "tile")


class SampleCNNFeatureExtractor(SequenceFeatureExtractor):
    """
    Cuts clips into the segments SampleCNN classifies (Table I; section IV-D).

    Args:
        feature_size (`int`, defaults to 1): channels of the waveform; SampleCNN is mono.
        sampling_rate (`int`, defaults to 22050): rate of the model in Hz; other rates are resampled with soxr.
        padding_value (`float`, defaults to 0.0): value of the samples after the end of a clip.
        segment_length (`int`, defaults to 59049): samples a segment.
        hop_length (`int`, *optional*): samples between the starts of two segments; `segment_length` (consecutive
            segments) by default.
        max_segments (`int`, *optional*): keep the first `max_segments` of a clip.
        drop_last (`bool`, defaults to `False`): drop the last segment if the clip ends within it, in place of padding
            it. With `max_segments=10` this is the paper's "10 segments per clip". A clip shorter than one segment is
            kept.
        short_clips (`str`, defaults to `"zero"`): what a clip shorter than a segment is filled with: `"zero"` for
            `padding_value`, `"tile"` for the clip again.
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
        if segment_length < 1:
            raise ValueError(f"segment_length must be at least 1 sample; got {segment_length}")
        if hop_length is not None and not 1 <= hop_length <= segment_length:
            raise ValueError(f"hop_length must be between 1 and segment_length={segment_length}; got {hop_length}")
        if max_segments is not None and max_segments < 1:
            raise ValueError(f"max_segments must be at least 1; got {max_segments}")
        if short_clips not in SHORT_CLIPS:
            raise ValueError(f"short_clips must be one of {', '.join(SHORT_CLIPS)}; got {short_clips!r}")
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

    def __call__(self, raw_audio, sampling_rate: int | None = None, return_tensors=None) -> BatchFeature:
        """
        Prepare one clip or a batch of clips.

        Args:
            raw_audio: a clip, or a list (or tuple) of clips. A clip is a numpy array, a torch tensor or a list of
                numbers, of shape (samples,), (channels, samples) or (samples, channels), float in [-1, 1] or integer
                PCM (int16, int32, int8 or uint8).
            sampling_rate (`int`, *optional*): rate of `raw_audio` in Hz. Left out, the model's own rate is assumed,
                with one warning.
            return_tensors (`str`, *optional*): `"pt"` for torch tensors, `"np"` (or nothing) for numpy arrays.

        Returns:
            `BatchFeature` with `input_values`, float32 [batch, segments, samples], and `attention_mask`, int64
            [batch, segments], 1 for a segment of the clip and 0 for padding in the batch.

        Raises:
            `ValueError` for an empty clip, a wrong shape or type, NaN or infinite samples, and a rate that is none.
        """
        clips = raw_audio if _is_batch(raw_audio) else [raw_audio]
        if len(clips) == 0:
            raise ValueError("there is no audio: the list of clips is empty")
        segmented = [self.normalize(self.segment(self.to_waveform(clip, sampling_rate))) for clip in clips]
        num_segments = [len(segments) for segments in segmented]

        shape = (len(clips), max(num_segments), self.segment_length)
        input_values = np.full(shape, self.padding_value, dtype=np.float32)
        attention_mask = np.zeros(shape[:2], dtype=np.int64)
        for i, segments in enumerate(segmented):
            input_values[i, : len(segments)] = segments
            attention_mask[i, : len(segments)] = 1
        data = {"input_values": input_values, "attention_mask": attention_mask}
        return BatchFeature(data, tensor_type=return_tensors)

    def to_waveform(self, audio, sampling_rate: int | None = None) -> np.ndarray:
        """One clip as a user has it -> mono float32 (samples,) at the model's rate. See `__call__`."""
        if sampling_rate is None:
            logger.warning_once(
                f"No sampling_rate was passed: the audio is taken to be at {self.sampling_rate} Hz. Pass "
                "sampling_rate=... so that other rates are resampled and not heard at the wrong speed."
            )
            sampling_rate = self.sampling_rate
        if isinstance(sampling_rate, bool) or not isinstance(sampling_rate, (int, float, np.number)):
            raise ValueError(f"sampling_rate must be a number in Hz; got {sampling_rate!r}")
        lowest, highest = SAMPLING_RATES
        if not lowest <= sampling_rate <= highest:
            raise ValueError(f"sampling_rate must be between {lowest} and {highest} Hz; got {sampling_rate}")

        waveform = _to_mono_float32(audio)
        if sampling_rate != self.sampling_rate:
            waveform = soxr.resample(waveform, sampling_rate, self.sampling_rate)
        if len(waveform) == 0:
            raise ValueError("the audio is empty: there is not one sample in it")
        return waveform

    def segment_starts(self, num_samples: int) -> list[int]:
        """First sample of each segment of a clip of `num_samples` samples; never empty."""
        hop_length = self.hop_length or self.segment_length
        hops = max(0, num_samples - self.segment_length) / hop_length
        count = 1 + (math.floor(hops) if self.drop_last else math.ceil(hops))
        return [i * hop_length for i in range(count)][: self.max_segments]

    def segment(self, waveform: np.ndarray) -> np.ndarray:
        """Cut a waveform (samples,) of any dtype into its segments [segments, segment_length], padded at the end."""
        starts = self.segment_starts(len(waveform))
        missing = starts[-1] + self.segment_length - len(waveform)
        if missing > 0 and len(starts) == 1 and self.short_clips == "tile":
            waveform = np.resize(waveform, self.segment_length)
        elif missing > 0:
            waveform = np.pad(waveform, (0, missing), constant_values=self.padding_value)
        return np.stack([waveform[start : start + self.segment_length] for start in starts])

    def normalize(self, segments):
        """Apply `mean`, `std` and `do_normalize` to float segments [..., samples], a numpy array or a torch tensor."""
        if self.mean != 0.0 or self.std != 1.0:
            segments = (segments - self.mean) / self.std
        if self.do_normalize:
            centered = segments - segments.mean(-1, keepdims=True)
            segments = centered / ((centered**2).mean(-1, keepdims=True) + 1e-7) ** 0.5
        return segments


def read_audio(file: str | os.PathLike | bytes | io.IOBase) -> tuple[np.ndarray, int]:
    """
    Decode an audio file (wav, flac, ogg, mp3 and whatever else libsndfile reads), without ffmpeg.

    Args:
        file: a path, the content of a file, or a binary file object.

    Returns:
        float32 array (samples, channels) and its sampling rate in Hz.

    Raises:
        `OSError` where the path cannot be opened; `ValueError` where it is not audio, or is cut off.
    """
    if isinstance(file, (str, os.PathLike)):
        with open(file, "rb") as opened:
            return _decode(opened, repr(str(Path(file))))
    return _decode(io.BytesIO(file) if isinstance(file, bytes) else file, "the audio")


def _decode(file, name: str) -> tuple[np.ndarray, int]:
    try:
        with soundfile.SoundFile(file) as sound:
            if sound.frames > MAX_FRAMES:
                raise ValueError(f"{name} does not say how long it is (a piped flac?); convert it again, to a file")
            audio = _read_all(sound)
            if _is_cut_off(sound, len(audio)):
                raise ValueError(f"{name} is cut off: only {len(audio)} samples of it are there; copy it again")
            return audio, sound.samplerate
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{name} cannot be read as audio (wav, flac, ogg or mp3): {error.error_string}") from error


def _read_all(sound: soundfile.SoundFile) -> np.ndarray:
    """In blocks: a damaged header may promise more than the memory holds."""
    blocks = [sound.read(BLOCK_FRAMES, dtype="float32", always_2d=True)]
    while len(blocks[-1]) == BLOCK_FRAMES:
        blocks.append(sound.read(BLOCK_FRAMES, dtype="float32", always_2d=True))
    return np.concatenate(blocks) if len(blocks) > 1 else blocks[0]


def _is_cut_off(sound: soundfile.SoundFile, num_read: int) -> bool:
    """Does the file end before its header says it does? (libsndfile reads what is there and goes on.)"""
    if num_read < 0.99 * sound.frames:  # an mp3 header may be off by a frame or two
        return True
    # ogg: the last page does not say that it is the last, or is not whole
    if re.search("end-of-stream|junk after the last page", sound.extra_info, re.IGNORECASE):
        return True
    data_chunk = re.search(r"^data : (\d+) \(should be (\d+)\)", sound.extra_info, re.MULTILINE)  # wav
    # Recorders that cannot seek back leave the largest number there is as the size.
    return data_chunk is not None and int(data_chunk[2]) < int(data_chunk[1]) < 2**31 - 2**16


def _is_batch(raw_audio) -> bool:
    """A list of clips, as opposed to a list of numbers, which is one clip."""
    return isinstance(raw_audio, (list, tuple)) and (len(raw_audio) == 0 or np.ndim(raw_audio[0]) > 0)


def _to_mono_float32(audio) -> np.ndarray:
    """(samples,), (channels, samples) or (samples, channels), float or integer PCM -> float32 (samples,)."""
    if hasattr(audio, "detach"):  # a torch tensor
        audio = audio.detach().cpu()
        audio = (audio.float() if audio.is_floating_point() else audio).numpy()
    audio = np.asarray(audio)
    if audio.ndim not in (1, 2):
        raise ValueError(f"a clip has shape (samples,), (channels, samples) or (samples, channels); got {audio.shape}")
    if audio.size == 0:
        raise ValueError("the audio is empty: there is not one sample in it")
    if audio.ndim == 2 and min(audio.shape) > MAX_CHANNELS:
        raise ValueError(
            f"a clip has at most {MAX_CHANNELS} channels; got shape {audio.shape}. Pass a batch as a list"
        )

    if audio.dtype == np.uint8:  # unsigned PCM has its zero in the middle
        audio = (audio.astype(np.float32) - 128) / 128
    elif audio.dtype in (np.int8, np.int16, np.int32):
        audio = audio.astype(np.float32) / -float(np.iinfo(audio.dtype).min)
    elif audio.dtype.kind != "f":
        raise ValueError(f"audio must be float, int16, int32, int8 or uint8; got {audio.dtype}")
    audio = audio.astype(np.float32, copy=False)
    if audio.ndim == 2:
        audio = audio.mean(axis=int(np.argmin(audio.shape)))
    if not np.isfinite(audio).all():
        raise ValueError("the audio holds NaN or infinite samples")
    return np.ascontiguousarray(audio)
