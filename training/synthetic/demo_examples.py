"""
Make the example sounds of the demo from synthetic test clips, which are never used for training.

    python -m training.synthetic.demo_examples --speech data/synthetic/speech_commands \\
        --music data/synthetic/magnatagatune
"""

import argparse
from pathlib import Path

import numpy as np
import soundfile

from training.data import load_source

FOLDER = Path(__file__).parents[2] / "spaces_demo" / "examples"
WORDS = ("left", "stop")
SENTENCE = ("go", "up", "left", "down", "right", "on", "off", "stop")
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
    sentence = [words[word][i] for i, word in enumerate(SENTENCE)]  # a different voice per word
    soundfile.write(args.output_dir / "eight_words.flac", np.concatenate(sentence), rate)

    piece = load_source("magnatagatune", args.music).splits["test"][PIECE]
    music, rate = soundfile.read(piece.path, always_2d=True)
    soundfile.write(args.output_dir / "music.ogg", music[: PIECE_SECONDS * rate].mean(1), rate)


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
