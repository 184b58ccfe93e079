"""
Make the example sounds of the demo from synthetic test clips, which are never used for training, and from the examples
of a keyword spotter.

    python -m training.synthetic.demo_examples --speech data/synthetic/speech_commands \\
        --music data/synthetic/magnatagatune
"""

import argparse
from pathlib import Path

import numpy as np
import soundfile

from training.data import load_source

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "spaces_demo" / "examples"
WORDS = ("left", "stop")
SPOTTER = ROOT / "model_cards" / "samplecnn-speech-commands-synthetic"
SPOTTED_WORDS, PAUSE_SECONDS = ("left", "seven", "happy"), 0.8
PIECE, PIECE_SECONDS = 1, 12


def main(argv: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", required=True, help="folder of the synthetic Speech Commands")
    parser.add_argument("--music", required=True, help="folder of the synthetic MagnaTagATune")
    parser.add_argument("--output_dir", type=Path, default=FOLDER, help="default: spaces_demo/examples")
    args = parser.parse_args(argv)

    words, rate = spoken_words(args.speech)
    for word in WORDS:
        soundfile.write(args.output_dir / f"{word}.flac", words[word][0], rate)
    soundfile.write(args.output_dir / "three_words.flac", *three_words())

    piece = load_source("magnatagatune", args.music).splits["test"][PIECE]
    music, rate = soundfile.read(piece.path, always_2d=True)
    soundfile.write(args.output_dir / "music.ogg", music[: PIECE_SECONDS * rate].mean(1), rate)


def three_words() -> tuple[np.ndarray, int]:
    """Words with pauses between them: samples (samples,) and their sampling rate."""
    pieces = []
    for word in SPOTTED_WORDS:
        samples, rate = soundfile.read(SPOTTER / "examples" / f"{word}.wav")
        pieces += [np.zeros(round(PAUSE_SECONDS * rate)), samples]
    return np.concatenate(pieces), rate


def spoken_words(data_dir: str) -> tuple[dict[str, list[np.ndarray]], int]:
    """The test clips of each word, mono float64 (samples,), and their sampling rate."""
    source = load_source("speech_commands", data_dir)
    words = {label: [] for label in source.labels}
    for clip in source.splits["test"]:
        audio, rate = soundfile.read(clip.path, always_2d=True)
        words[source.labels[clip.labels[0]]].append(audio.mean(1))
    return words, rate


if __name__ == "__main__":
    main()
