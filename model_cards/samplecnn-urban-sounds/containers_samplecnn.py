"""Audio in formats that libsndfile does not read (m4a, aac, webm), by PyAV where it is installed."""

from itertools import chain

import numpy as np


def container_format(signature: bytes) -> str | None:
    """FFmpeg's name of the format of a file that begins with these 12 bytes; None for those of libsndfile."""
    if signature[4:8] == b"ftyp":
        return "mp4"  # m4a
    if signature.startswith(b"\x1aE\xdf\xa3"):
        return "matroska"  # webm
    is_adts = signature[:1] == b"\xff" and signature[1:2] in (b"\xf0", b"\xf1", b"\xf8", b"\xf9")
    return "aac" if is_adts else None


class ContainerFile:
    """
    The first audio track of a binary file object, with the interface of `soundfile.SoundFile`.

    Args:
        source: Seekable binary file object.
        format: `container_format` of it. FFmpeg would otherwise take a file for a playlist, and open what it names.
        name: Name of the file in error messages.

    Raises:
        ValueError: The file is damaged or has no audio, or PyAV is not installed.
    """

    extra_info = ""

    def __init__(self, source, format: str, name: str):
        try:
            import av
        except ImportError as error:
            raise ValueError(f"{name} is {format} audio, which needs PyAV: pip install av") from error
        self._av, self._name, self._position = av, name, 0
        self._container = self._checked(lambda: av.open(source, format=format, metadata_errors="ignore"))
        if not self._container.streams.audio:
            raise ValueError(f"{name} has no audio track")
        track = self._container.streams.audio[0]
        self._decoded = self._container.decode(track)
        first = self._checked(lambda: next(self._decoded, None))
        if first is None:
            raise ValueError(f"{name} has an empty audio track")
        self._frames = chain([first], self._decoded)
        self._resampler = av.AudioResampler(format="fltp")  # changes the sample format only
        self.samplerate, self.channels = first.sample_rate, first.layout.nb_channels  # HE-AAC's header has other ones
        # The header of mp4 only is exact; 0: unknown
        is_exact = format == "mp4" and track.duration is not None
        self.frames = int(track.duration * track.time_base * self.samplerate) if is_exact else 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._container.close()

    def tell(self) -> int:
        return self._position

    def read(self, frames: int, dtype: str = "float32", always_2d: bool = True) -> np.ndarray:
        """Read `frames` samples of each channel or a few more, at the end less: float32 (samples, channels)."""
        parts, length = [np.empty((0, self.channels), np.float32)], 0
        while length < frames and (frame := self._checked(lambda: next(self._frames, None))) is not None:
            for converted in self._checked(lambda frame=frame: self._resampler.resample(frame)):
                parts.append(converted.to_ndarray().T)
                length += len(parts[-1])
        self._position += length
        return np.concatenate(parts)

    def _checked(self, call):
        """The result of a call of PyAV, whose errors become a `ValueError` of one line."""
        try:
            return call()
        except self._av.FFmpegError as error:
            raise ValueError(f"{self._name} cannot be read as audio: {error.strerror}") from error
