"""Say words with a voice of espeak-ng: a WAV file of 1 s for each word, to try a model.

python -m training.synthetic.say stop marvin --voice en-us+f2 --output_dir sounds
python -m training.synthetic.say yes=نَعَم no=لا --voice ar --output_dir sounds  # sounds/yes.wav, sounds/no.wav
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile

from training.errors import errors_in_one_line
from training.synthetic.speech import CLIP_SAMPLES, SAMPLE_RATE
from training.synthetic.voices.espeak import Espeak

PEAK = 0.5


def say(texts: Mapping[str, str], voice: str, rate: int, output_dir: Path):
    """Write `<name>.wav` for each name and text, in the middle of 1 s. Raises `DataError` if espeak-ng cannot."""
    espeak = Espeak(seed=0)
    for name, text in texts.items():
        spoken = espeak.say(text, voice, rate)[:CLIP_SAMPLES]
        clip = np.zeros(CLIP_SAMPLES, np.float32)
        start = (CLIP_SAMPLES - len(spoken)) // 2
        clip[start : start + len(spoken)] = PEAK * spoken / np.abs(spoken).max()
        soundfile.write(output_dir / f"{name}.wav", clip, SAMPLE_RATE, subtype="PCM_16")


def main(argv: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="+", help="WORD, or NAME=TEXT to name the file differently")
    parser.add_argument("--voice", default="en-us", help="voice of espeak-ng, such as fr+m3 (default: %(default)s)")
    parser.add_argument("--rate", type=int, default=150, help="words per minute (default: %(default)s)")
    parser.add_argument("--output_dir", type=Path, required=True)
    args = parser.parse_args(argv)
    texts = dict((word if "=" in word else f"{word}={word}").split("=", 1) for word in args.words)
    with errors_in_one_line("run the same command again"):
        args.output_dir.mkdir(parents=True, exist_ok=True)
        say(texts, args.voice, args.rate, args.output_dir)


if __name__ == "__main__":
    main()
