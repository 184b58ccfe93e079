"""Voices made from recordings of people: those of flite and festival, installed from Debian as in `INSTALL`.

Both synthesizers are run as programs, a process for each word.
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import soxr

from training.errors import DataError
from training.synthetic.voices import SAMPLE_RATE

# Name of a voice -> name in the program. flite's kal is left out: festival has more of the same speaker's recordings.
FLITE = {f"flite/{name}": name for name in ("awb", "rms", "slt")}
FESTIVAL = {
    "festival/kal": "kal_diphone",
    "festival/ked": "ked_diphone",
    "festival/slt": "cmu_us_slt_arctic_hts",
}
INSTALL = "apt-get install flite festival festvox-kallpc16k festvox-kdlpc16k festvox-us-slt-hts"


def installed_voices() -> list[str]:
    """The names in `FLITE` and `FESTIVAL` that can be used."""
    names = list(FLITE) if shutil.which("flite") else []
    if shutil.which("festival"):
        listed = subprocess.run(["festival", "-b", "(print (voice.list))"], capture_output=True, text=True).stdout
        names += [name for name, full_name in FESTIVAL.items() if full_name in re.findall(r"\w+", listed)]
    return names


def say(text: str, voice: str) -> np.ndarray:
    """Speak English `text`: (samples,) float32 at 16 kHz.

    Raises:
        DataError: `text` has other characters than letters, spaces and apostrophes, or the program fails or returns
            silence.
    """
    if not re.fullmatch("[a-zA-Z' ]+", text):  # it becomes part of a program
        raise DataError(f"text must consist of the letters a-z, spaces and apostrophes; got {text!r}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spoken.wav"
        command = _flite if voice in FLITE else _festival
        run = subprocess.run(command(text, voice, path), capture_output=True, text=True)
        if run.returncode != 0 or not path.is_file():
            raise DataError(f"{voice} cannot say {text!r}: {run.stderr.strip()}")
        samples, rate = soundfile.read(path, dtype="float32")
    if not samples.any():
        raise DataError(f"{voice} returns silence for {text!r}")
    return soxr.resample(samples, rate, SAMPLE_RATE)


def _flite(text: str, voice: str, path: Path) -> list[str]:
    return ["flite", "-voice", FLITE[voice], "-t", text, "-o", str(path)]


def _festival(text: str, voice: str, path: Path) -> list[str]:
    program = (
        f'(begin (voice_{FESTIVAL[voice]}) (utt.save.wave (utt.synth (Utterance Text "{text}")) "{path}" \'riff))'
    )
    return ["festival", "-b", program]
