"""Make a small MagnaTagATune: short pieces of music with tags that are true of them, for trying without a download.

    python -m training.synthetic.music --output_dir data/synthetic/music

The pieces are drawn at random (`music_score.py`) and played by TinySoundFont (the PyPI wheel `tinysoundfont`, MIT
licence) on TimGM6mb.sf2, the SoundFont inside the PyPI wheel `pretty_midi` (MIT licence). The SoundFont itself, by
Tim Brechbill, is licensed under the GPL-2: the wheel does not say so, Debian's package `timgm6mb-soundfont` does. Both
wheels are optional, used here only to make data, and never imported by `samplecnn_hf`.
"""

import argparse
import csv
import importlib.util
import multiprocessing
import sys
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from training.data.sources.magnatagatune import ANNOTATIONS, SPLIT_OF_FOLDER
from training.errors import DataError
from training.synthetic.music_score import (
    CLIP_SECONDS,
    INSTRUMENTS,
    LEVELS,
    LINE_UPS,
    TAG_RULES,
    Part,
    Score,
    compose,
    tags_of,
)
from training.synthetic.new_folder import new_folder

NUM_CLIPS = 576  # each line-up twice in each folder
FOLDERS = tuple(SPLIT_OF_FOLDER)
FIRST_CLIP_ID = 100_000  # MagnaTagATune's are lower
SAMPLE_RATE = 22_050  # Hz
CLIP_SAMPLES = round(CLIP_SECONDS * SAMPLE_RATE)
CREST = 2.5  # of the limiter, 8 dB: room for the loudest clips and for what mp3 adds
LIMITER_BLOCK = 245  # samples, 11 ms; a divisor of CLIP_SAMPLES
CHANNEL = 0  # of the synthesizer
DRUM_BANK = 128

# Without their dependencies, which are not needed here: PyAudio would be compiled, against PortAudio.
INSTALL = "pip install --no-deps tinysoundfont pretty_midi"


def write_music(output_dir: str | Path, num_clips: int = NUM_CLIPS, seed: int = 0, num_workers: int = 2) -> Path:
    """Write synthetic music in the layout of MagnaTagATune: mono mp3 of 29.3 s at 22,050 Hz.

    The clips are dealt evenly to the 16 folders; with the default number, each split has clips with and without each
    tag. The files depend on `num_clips` and `seed` alone, not on `num_workers`. Call it under
    `if __name__ == "__main__":`, as it starts processes.

    Returns:
        `output_dir`, which appears only when it is complete.

    Raises:
        DataError: an argument is out of range, `output_dir` exists, or a package is not installed.
    """
    output_dir = Path(output_dir)
    for name, value, least in (
        ("num_clips", num_clips, len(FOLDERS)),
        ("seed", seed, 0),
        ("num_workers", num_workers, 1),
    ):
        if value < least:
            raise DataError(f"{name} must be at least {least}, got {value}")
    _import_tinysoundfont()
    _find_soundfont()

    with new_folder(output_dir) as partial_dir:
        for folder in FOLDERS:
            (partial_dir / "mp3" / folder).mkdir(parents=True)
        _play_all(partial_dir / "mp3", num_clips, seed, num_workers)
        _write_annotations(partial_dir / ANNOTATIONS, num_clips, seed)
    return output_dir


def score_of(index: int, seed: int) -> Score:
    """Compose clip `index`: each folder gets all line-ups in turn, and each line-up all loudnesses."""
    turn, folder = divmod(index, len(FOLDERS))
    line_up = LINE_UPS[(turn + folder) % len(LINE_UPS)]
    loudness = list(LEVELS)[(turn - folder + turn // len(LINE_UPS)) % len(LEVELS)]
    return compose(line_up, loudness, np.random.default_rng([seed, index]))


def _mp3_path(index: int) -> str:
    return f"{FOLDERS[index % len(FOLDERS)]}/synthetic-{FIRST_CLIP_ID + index}-0-29.mp3"


def _write_annotations(path: Path, num_clips: int, seed: int) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(("clip_id", *TAG_RULES, "mp3_path"))
        for index in range(num_clips):
            heard = tags_of(score_of(index, seed))
            writer.writerow((FIRST_CLIP_ID + index, *(int(tag in heard) for tag in TAG_RULES), _mp3_path(index)))


# Sound


def _play_all(folder: Path, num_clips: int, seed: int, num_workers: int) -> None:
    write_clip = partial(_write_clip, folder, seed)
    with multiprocessing.get_context("spawn").Pool(num_workers) as pool:
        written = pool.imap_unordered(write_clip, range(num_clips))
        for _ in tqdm(written, total=num_clips, desc="Playing", unit="clip"):
            pass


def _write_clip(folder: Path, seed: int, index: int) -> None:
    soundfile.write(folder / _mp3_path(index), play(score_of(index, seed)), SAMPLE_RATE)


def play(score: Score) -> np.ndarray:
    """(CLIP_SAMPLES,) of sound at the score's level, each part as strong as the others.

    All clips pass the same limiter before the level is set: only the level tells a loud clip from a quiet one.
    """
    sound = _limit(sum(_with_rms(_play_part(part), 1) for part in score.parts))
    return _with_rms(sound, 10 ** (score.level / 20))


def _play_part(part: Part) -> np.ndarray:
    """(CLIP_SAMPLES,) of one instrument, by a synthesizer of its own: nothing lingers of what was played before."""
    synth = _import_tinysoundfont().Synth(samplerate=SAMPLE_RATE)
    soundfont = synth.sfload(str(_find_soundfont()))
    is_drums = INSTRUMENTS[part.instrument].is_drums
    synth.program_select(CHANNEL, soundfont, DRUM_BANK if is_drums else 0, part.program, is_drums)

    chunks = []
    now = 0
    for sample, is_start, key, velocity in _events(part):
        if sample > now:
            chunks.append(np.frombuffer(synth.generate_simple(sample - now), np.float32))
            now = sample
        if is_start:
            synth.noteon(CHANNEL, key, velocity)
        else:
            synth.noteoff(CHANNEL, key)
    left, right = np.concatenate(chunks).reshape(-1, 2).T
    return left.astype(float) + right


def _events(part: Part) -> list[tuple[int, bool, int, int]]:
    """(sample, is_start, key, velocity) of each start and end of a note, in order, up to the end of the clip."""
    starts = [(round(note.start * SAMPLE_RATE), True, note.key, note.velocity) for note in part.notes]
    ends = [(round(note.end * SAMPLE_RATE), False, note.key, 0) for note in part.notes]
    return [event for event in sorted(starts + ends) if event[0] < CLIP_SAMPLES] + [(CLIP_SAMPLES, False, 0, 0)]


def _limit(sound: np.ndarray) -> np.ndarray:
    """Turn `sound` down around peaks above CREST times its RMS."""
    limit = CREST * np.sqrt(np.mean(sound**2))
    peaks = np.pad(np.abs(sound).reshape(-1, LIMITER_BLOCK).max(axis=1), 1)
    peaks_around = np.maximum.reduce([peaks[:-2], peaks[1:-1], peaks[2:]])
    gains = limit / np.maximum(peaks_around, limit)
    centres = (np.arange(len(gains)) + 0.5) * LIMITER_BLOCK
    return sound * np.interp(np.arange(len(sound)), centres, gains)


def _with_rms(sound: np.ndarray, rms: float) -> np.ndarray:
    return sound * (rms / np.sqrt(np.mean(sound**2)))


def _import_tinysoundfont():
    try:
        import tinysoundfont
    except ImportError as error:
        raise DataError(f"tinysoundfont is missing: {INSTALL}") from error
    return tinysoundfont


def _find_soundfont() -> Path:
    spec = importlib.util.find_spec("pretty_midi")  # found and not imported: its dependencies need not be there
    if spec is None:
        raise DataError(f"pretty_midi, which holds the SoundFont, is missing: {INSTALL}")
    return Path(spec.origin).with_name("TimGM6mb.sf2")


def main() -> None:
    """Command line of `write_music`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=Path, required=True, help="folder to make")
    parser.add_argument("--num_clips", type=int, default=NUM_CLIPS, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--num_workers", type=int, default=2, help="processes (default: %(default)s)")
    try:
        output_dir = write_music(**vars(parser.parse_args()))
    except (DataError, OSError) as error:
        sys.exit(f"error: {error}")
    print(f"Wrote {output_dir}")


if __name__ == "__main__":
    main()
