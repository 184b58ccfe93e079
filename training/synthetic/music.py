"""Generate a small MagnaTagATune: music with matching tags, to try the training without a download.

    python -m training.synthetic.music --output_dir data/synthetic/music

Random pieces (`music_score.py`) are rendered by TinySoundFont (PyPI wheel `tinysoundfont`, MIT license) with
TimGM6mb.sf2, the SoundFont in the PyPI wheel `pretty_midi` (MIT license). According to Debian's package
`timgm6mb-soundfont`, the SoundFont by Tim Brechbill is licensed under the GPL-2. Both wheels are optional, used only
to generate data, and never imported by `samplecnn_hf`.
"""

import argparse
import csv
import importlib.util
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

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
    true_tags,
)
from training.synthetic.output import check_at_least, import_package, new_folder, run_command, run_in_parallel

NUM_CLIPS = 576  # every line-up twice per folder
FOLDERS = tuple(SPLIT_OF_FOLDER)
FIRST_CLIP_ID = 100_000  # MagnaTagATune uses lower ids
SAMPLE_RATE = 22_050  # Hz
CLIP_SAMPLES = round(CLIP_SECONDS * SAMPLE_RATE)
CREST = 2.5  # peak to RMS ratio of the limiter, 8 dB: headroom for the loudest clips and for mp3 overshoot
LIMITER_BLOCK = 245  # samples, 11 ms; a divisor of CLIP_SAMPLES
CHANNEL = 0  # MIDI channel
DRUM_BANK = 128

# Dependencies are not needed, and PyAudio would have to be compiled.
INSTALL = "pip install --no-deps tinysoundfont pretty_midi"


def write_music(output_dir: Path, num_clips: int = NUM_CLIPS, seed: int = 0, num_workers: int = 2) -> None:
    """Write synthetic music in the layout of MagnaTagATune: mono mp3 of 29.3 s at 22,050 Hz.

    The clips are distributed evenly over the 16 folders; with the default number, each split has clips with and
    without each tag. The files depend only on `num_clips` and `seed`; `output_dir` appears when it is complete.

    Raises:
        DataError: an argument is out of range, `output_dir` exists, or a package is not installed.
    """
    check_at_least(num_clips=(num_clips, len(FOLDERS)), seed=(seed, 0), num_workers=(num_workers, 1))
    import_package("tinysoundfont", INSTALL)
    _find_soundfont()
    with new_folder(output_dir) as partial_dir:
        for folder in FOLDERS:
            (partial_dir / "mp3" / folder).mkdir(parents=True)
        tasks = [partial(_write_clip, partial_dir / "mp3", index, seed) for index in range(num_clips)]
        run_in_parallel(tasks, num_workers, "Playing")
        _write_annotations(partial_dir / ANNOTATIONS, num_clips, seed)


def compose_clip(index: int, seed: int) -> Score:
    """Compose clip `index`. The line-ups take turns in each folder, and the levels of loudness in each line-up."""
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
            tags = true_tags(compose_clip(index, seed))
            writer.writerow((FIRST_CLIP_ID + index, *(int(tag in tags) for tag in TAG_RULES), _mp3_path(index)))


# Sound


def _write_clip(folder: Path, index: int, seed: int) -> None:
    soundfile.write(folder / _mp3_path(index), play(compose_clip(index, seed)), SAMPLE_RATE)


def play(score: Score) -> np.ndarray:
    """Render a score: float64 (CLIP_SAMPLES,) at its level, with all parts at the same RMS.

    The limiter comes before the level is set, so that loud and quiet clips differ only in level.
    """
    sound = _limit(sum(_with_rms(_play_part(part), 1) for part in score.parts))
    return _with_rms(sound, 10 ** (score.level / 20))


def _play_part(part: Part) -> np.ndarray:
    """Render one instrument, float64 (CLIP_SAMPLES,), with a new synthesizer that holds no earlier notes."""
    synth = import_package("tinysoundfont", INSTALL).Synth(samplerate=SAMPLE_RATE)
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
    """(sample, is_start, key, velocity) of the note-on and note-off events in order, up to the end of the clip."""
    starts = [(round(note.start * SAMPLE_RATE), True, note.key, note.velocity) for note in part.notes]
    ends = [(round(note.end * SAMPLE_RATE), False, note.key, 0) for note in part.notes]
    return [event for event in sorted(starts + ends) if event[0] < CLIP_SAMPLES] + [(CLIP_SAMPLES, False, 0, 0)]


def _limit(sound: np.ndarray) -> np.ndarray:
    """Reduce the gain around peaks above CREST times the RMS of `sound` (samples,)."""
    limit = CREST * np.sqrt(np.mean(sound**2))
    peaks = np.pad(np.abs(sound).reshape(-1, LIMITER_BLOCK).max(axis=1), 1)
    peaks_around = np.maximum.reduce([peaks[:-2], peaks[1:-1], peaks[2:]])
    gains = limit / np.maximum(peaks_around, limit)
    centers = (np.arange(len(gains)) + 0.5) * LIMITER_BLOCK
    return sound * np.interp(np.arange(len(sound)), centers, gains)


def _with_rms(sound: np.ndarray, rms: float) -> np.ndarray:
    return sound * (rms / np.sqrt(np.mean(sound**2)))


def _find_soundfont() -> Path:
    spec = importlib.util.find_spec("pretty_midi")  # not imported: its dependencies are not required
    if spec is None:
        raise DataError(f"pretty_midi, which holds the SoundFont, is missing: {INSTALL}")
    return Path(spec.origin).with_name("TimGM6mb.sf2")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num_clips", type=int, default=NUM_CLIPS, help="number of clips (default: %(default)s)")
    run_command(write_music, parser, argv)


if __name__ == "__main__":
    main()
