"""The voices of eSpeak NG: formant synthesis, over a hundred timbres in each accent.

espeak-ng comes with the PyPI wheel `espeakng-loader`. It is licensed under the GPL-3.
"""

import ctypes
from pathlib import Path

import numpy as np
import soxr

from training.errors import DataError
from training.synthetic.output import import_package
from training.synthetic.voices import SAMPLE_RATE

INSTALL = 'pip install "samplecnn-hf[synthetic]"'

ACCENTS = (
    "en",
    "en-us",
    "en-us-nyc",
    "en-gb-scotland",
    "en-029",
    "en-gb-x-rp",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
)
# Variants that sound like another one (the voice without a variant, klatt4 and adam): their log-spectral distance is
# below 0.9 dB, as the median over the accents of the mean over the default words. A typical distance is 8 dB.
SAME_SOUND = {"fast", "klatt5", "klatt6"}


def list_accents(language: str) -> tuple[str, ...]:
    """The accents of a language code such as "fr". Raises `DataError` if espeak-ng does not speak the language."""
    if language == "en":
        return ACCENTS
    languages_dir = Path(import_package("espeakng_loader", INSTALL).get_data_path()) / "lang"
    names = sorted(path.name.lower() for path in languages_dir.rglob("*") if path.is_file())
    accents = [name for name in names if name == language or name.startswith(f"{language}-")]
    if not accents:
        raise DataError(f"espeak-ng does not speak {language!r}: choose one of {', '.join(names)}")
    return tuple(accents)


def list_variants() -> list[str]:
    """Names of the timbres, such as "f3". Raises `DataError` if espeakng-loader is not installed."""
    folder = Path(import_package("espeakng_loader", INSTALL).get_data_path()) / "voices" / "!v"
    return sorted(path.name for path in folder.iterdir() if path.name not in SAME_SOUND)


class Espeak:
    """espeak-ng through its C interface `speak_lib.h`. The C library has global state: one instance per process."""

    SYNCHRONOUS, DONT_EXIT, UTF8 = 2, 0x8000, 1
    RATE, VOLUME, PITCH, PITCH_RANGE = 1, 2, 3, 4

    def __init__(self, seed: int):
        loader = import_package("espeakng_loader", INSTALL)
        self._library = ctypes.CDLL(loader.get_library_path())
        data_path = loader.get_data_path().encode()
        self._rate = self._library.espeak_Initialize(self.SYNCHRONOUS, 0, data_path, self.DONT_EXIT)
        if self._rate <= 0:
            raise RuntimeError(f"cannot start espeak-ng with the data in {data_path.decode()}")
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(seed % 2**31))  # for breath noise; the default is the clock
        self._chunks: list[np.ndarray] = []
        callback_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self._callback = callback_type(self._collect)  # keep a reference, C holds none
        self._library.espeak_SetSynthCallback(self._callback)

    def say(self, text: str, voice: str, rate: int, pitch: int = 50, pitch_range: int = 50) -> np.ndarray:
        """Speak `text`: (samples,) float32 at 16 kHz; `rate` in words per minute, the others from 0 to 99.

        Raises:
            DataError: espeak-ng reports an error or returns silence.
        """
        self._check(self._library.espeak_SetVoiceByName(voice.encode()), f"voice {voice}")
        # At the default volume, 100, some voices clip.
        settings = {self.RATE: rate, self.VOLUME: 60, self.PITCH: pitch, self.PITCH_RANGE: pitch_range}
        for parameter, value in settings.items():
            self._check(self._library.espeak_SetParameter(parameter, value, 0), f"parameter {parameter}={value}")
        self._chunks.clear()
        data = text.encode() + b"\0"
        size = ctypes.c_size_t(len(data))
        self._check(self._library.espeak_Synth(data, size, 0, 0, 0, self.UTF8, None, None), f"text {text!r}")
        samples = np.concatenate(self._chunks) if self._chunks else np.zeros(1, np.int16)
        if not samples.any():
            raise DataError(f"espeak-ng returns silence for {text!r} with voice {voice}: give other words or voices")
        return soxr.resample(samples.astype(np.float32) / 2**15, self._rate, SAMPLE_RATE)

    def phonemes(self, text: str, voice: str) -> str:
        """How the voice pronounces `text`, in espeak-ng's notation."""
        self._check(self._library.espeak_SetVoiceByName(voice.encode()), f"voice {voice}")
        pointer = ctypes.c_char_p(text.encode())
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        return self._library.espeak_TextToPhonemes(ctypes.byref(pointer), self.UTF8, 0).decode()

    def _collect(self, samples, num_samples: int, events) -> int:
        if samples and num_samples > 0:
            self._chunks.append(np.ctypeslib.as_array(samples, (num_samples,)).copy())
        return 0  # continue

    def _check(self, error_code: int, what: str) -> None:
        if error_code != 0:
            raise DataError(f"espeak-ng rejects {what}: error {error_code}; give other words or voices")
