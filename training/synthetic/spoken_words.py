"""Generate the training data of a keyword spotter: words by synthetic voices, other words, talk and other sounds.

    python -m training.synthetic.spoken_words --words "marvin, stop" --output_dir data/spoken_words

The folder has the layout of Speech Commands with the classes `_unknown_` (other words, alone and as talk of one or
several voices) and `_silence_` (noise, music, streets, hum). Talk and sounds are pieces of 30 s; for training they are
cut into clips of 2 s. No voice and no other word is in two splits.
"""

import argparse
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
import soundfile
import soxr
from filelock import FileLock
from scipy import signal

from samplecnn_hf.files import replace_when_complete
from training.data.prepared import num_cores
from training.data.sources.speech_commands import SILENCE, SPLIT_LISTS, UNKNOWN, assign_split
from training.errors import DataError
from training.synthetic import scene_sounds
from training.synthetic.noise import colored_noise
from training.synthetic.output import check_at_least, import_package, run_command, run_in_parallel
from training.synthetic.speech import LOWEST, SAMPLE_RATE, UNKNOWN_PER_VOICE, without_homophones, write_spoken_commands

PIECE_SAMPLES = 30 * SAMPLE_RATE
TRAINING_CLIP_SAMPLES = 2 * SAMPLE_RATE
TRAINING_CLIPS_PER_WORD = 0.85  # clips of talk and sounds for training, per isolated other word
SILENCE_SHARE = 0.3  # of the pieces; the others are talk
PEAKS = (-40.0, -3.0)  # of a piece, in dB relative to full scale
OPTIONS_FILE = "options.json"  # the options of the files
NUM_FREQUENT = 4000  # other words, unless a file is given

Sound = Callable[[np.random.Generator], np.ndarray]  # draws float64 (PIECE_SAMPLES,) at any level


def write_spoken_words(
    output_dir: Path,
    words: Sequence[str],
    language: str = "en",
    num_voices: int | None = None,
    num_vocoded: int = 0,
    takes: int | None = None,
    hours: float = 1.0,
    unknown_words: str | None = None,
    seed: int = 0,
    num_workers: int = 2,
) -> None:
    """Write the training data of a keyword spotter.

    Args:
        output_dir: new folder, which appears when it is complete.
        words: the keywords, in lower case.
        language: language code of the voices and of the other words.
        num_voices: number of speakers. None: all.
        num_vocoded: number of further English speakers, made by a vocoder (`write_spoken_commands`).
        takes: clips per keyword and voice. None: about as many clips of the keywords together as of other words.
        hours: duration of talk and sounds without keywords, in the validation split and again in the test split.
        unknown_words: text file of other words. None: the most frequent words of the language. Homophones of the
            keywords are left out.
        seed: of voices, words and sounds.
        num_workers: number of processes; the files do not depend on it.

    Raises:
        DataError: an argument is out of range, `output_dir` exists, or a file or package is missing.
    """
    if not hours > 0:
        raise DataError(f"hours must be above 0; got {hours}")
    check_at_least(seed=(seed, 0), num_workers=(num_workers, 1))
    options = {
        "words": list(words),
        "language": language,
        "num_voices": num_voices,
        "num_vocoded": num_vocoded,
        "takes": takes,
        "hours": hours,
        "unknown_words": _digest(unknown_words),
        "seed": seed,
    }
    if takes is None:
        takes = max(1, UNKNOWN_PER_VOICE // max(1, len(words)))
    others = without_homophones(read_unknown_words(unknown_words, language), words, language)
    if output_dir.exists():
        raise DataError(f"{output_dir} already exists: delete it or choose another output_dir")
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    with replace_when_complete(output_dir) as folder:
        write_spoken_commands(folder, words, num_voices, takes, seed, num_workers, language, others, num_vocoded)
        (folder / SILENCE).mkdir()
        (folder / OPTIONS_FILE).write_text(json.dumps(options, indent=2) + "\n", encoding="utf-8")
        run_in_parallel(list(_plan_pieces(folder, hours, seed)), num_workers, "Mixing")


def ensure_spoken_words(folder: Path, **options) -> None:
    """Call `write_spoken_words` with these options, all but `num_workers`, unless its files exist.

    Processes wait for each other.

    Raises:
        DataError: an error of `write_spoken_words`, or `folder` was made with other options.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if not folder.exists():
            print(f"generating the words in {folder}", flush=True)
            write_spoken_words(folder, **options, num_workers=num_cores())
    made_with = folder / OPTIONS_FILE
    options |= {"words": list(options["words"]), "unknown_words": _digest(options["unknown_words"])}
    before = json.loads(made_with.read_text(encoding="utf-8")) if made_with.is_file() else {}
    if other := [name for name, value in options.items() if before.get(name, ...) != value]:
        raise DataError(f"{folder} was made with other {', '.join(other)}: delete it, or give another --data_dir")


def _digest(path: str | None) -> str | None:
    """Identifies the content of a file. None: there is no file."""
    return None if path is None else hashlib.sha256(_existing(path).read_bytes()).hexdigest()


def _existing(path: str | Path) -> Path:
    if not Path(path).is_file():
        raise DataError(f"{path} is not a file: give a text file with words other than the keywords")
    return Path(path)


def read_unknown_words(path: str | None, language: str) -> list[str]:
    """The other words, in lower case. Raises `DataError` if there are none, or a file or package is missing."""
    if path is None:
        wordfreq = import_package("wordfreq", "pip install wordfreq, or give --unknown_words FILE with other words")
        try:
            text = " ".join(wordfreq.top_n_list(language, NUM_FREQUENT))
        except LookupError as error:
            raise DataError(f"wordfreq has no words of {language!r}: give --unknown_words FILE") from error
    else:
        text = _existing(path).read_text(encoding="utf-8")
    found = [word for word in dict.fromkeys(text.lower().split()) if word.isalpha()]
    splits = {assign_split(word) for word in found}
    if len(splits) < 3:
        raise DataError(f"{len(found)} other words are too few for training, validation and test: give 100 or more")
    return found


# Pieces of sound


def _plan_pieces(folder: Path, hours: float, seed: int) -> Iterator[Callable[[], None]]:
    """Tasks that write the pieces of all splits, after the lists of the held-out ones."""
    for number, split in enumerate(("train", *SPLIT_LISTS)):
        spoken = [path for path in sorted((folder / UNKNOWN).iterdir()) if assign_split(path.name) == split]
        is_training = split == "train"
        training_samples = TRAINING_CLIPS_PER_WORD * len(spoken) * TRAINING_CLIP_SAMPLES
        num_samples = training_samples if is_training else hours * 3600 * SAMPLE_RATE
        count = max(len(TALK) + len(SOUNDS), round(num_samples / PIECE_SAMPLES))
        num_sounds = max(len(SOUNDS), round(SILENCE_SHARE * count))
        voices = [list(files) for _, files in groupby(spoken, key=lambda path: path.name.partition("_")[0])]
        pieces = [(SILENCE, SOUNDS[i % len(SOUNDS)]) for i in range(num_sounds)]
        pieces += [(UNKNOWN, partial(TALK[i % len(TALK)], voices)) for i in range(count - num_sounds)]
        files = [f"{class_name}/{split}-{i:04d}.wav" for i, (class_name, _) in enumerate(pieces)]
        if not is_training:
            with (folder / SPLIT_LISTS[split]).open("a", encoding="utf-8") as file:
                file.writelines(f"{name}\n" for name in files)
        tasks = [
            partial(_write_piece, folder / name, draw, [seed, 4, number, i], is_training)
            for i, (name, (_, draw)) in enumerate(zip(files, pieces, strict=True))
        ]
        yield from tasks


def _write_piece(path: Path, draw: Sound, seed: list[int], cut: bool) -> None:
    """Write a sound in a random room at a random level, over noise; with `cut`, as clips for training."""
    rng = np.random.default_rng(seed)
    sound = scene_sounds.unit(draw(rng))
    if rng.random() < 0.5:
        sound = _in_a_room(sound, rng)
    sound = sound + _noise(rng) * 10 ** (-rng.uniform(10, 50) / 20)
    sound *= 10 ** (rng.uniform(*PEAKS) / 20) / np.abs(sound).max()
    if not cut:
        soundfile.write(path, sound, SAMPLE_RATE, subtype="PCM_16")
        return
    for i, clip in enumerate(np.split(sound, PIECE_SAMPLES // TRAINING_CLIP_SAMPLES)):
        soundfile.write(path.with_stem(f"{path.stem}-{i:02d}"), clip, SAMPLE_RATE, subtype="PCM_16")


def _in_a_room(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add reverberation: exponentially decaying noise with a reverberation time of 0.1 to 0.8 s."""
    seconds = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    tail = rng.standard_normal(SAMPLE_RATE) * 10 ** (-3 * seconds / rng.uniform(0.1, 0.8))
    wet = scene_sounds.unit(signal.fftconvolve(sound, tail)[: len(sound)])
    return scene_sounds.unit(sound + wet * 10 ** (rng.uniform(-20, 0) / 20))


def _talk(voices: list[list[Path]], rng: np.random.Generator) -> np.ndarray:
    """Words of one voice, one after another, with short pauses."""
    files, parts, length = voices[rng.integers(len(voices))], [], 0
    while length < PIECE_SAMPLES:
        word, _ = soundfile.read(files[rng.integers(len(files))])
        audible = np.flatnonzero(np.abs(word) > 0.02 * np.abs(word).max())
        word = word[audible[0] : audible[-1] + 1]
        pause = np.zeros(int(rng.exponential(0.1) * SAMPLE_RATE))
        parts += [scene_sounds.unit(word) * 10 ** (rng.normal(0, 3) / 20), pause]
        length += len(word) + len(pause)
    return np.concatenate(parts)[:PIECE_SAMPLES]


def _babble(voices: list[list[Path]], rng: np.random.Generator) -> np.ndarray:
    """Two to six voices that talk at the same time."""
    return sum(_talk(voices, rng) * 10 ** (rng.uniform(-10, 0) / 20) for _ in range(rng.integers(2, 7)))


def _noise(rng: np.random.Generator) -> np.ndarray:
    """Noise between white and brown, whose level wanders."""
    noise = colored_noise(rng, PIECE_SAMPLES, SAMPLE_RATE, rng.uniform(0, 2), LOWEST)
    levels = rng.uniform(-10, 0, PIECE_SAMPLES // (5 * SAMPLE_RATE) + 1)
    decibels = np.interp(np.linspace(0, 1, PIECE_SAMPLES), np.linspace(0, 1, len(levels)), levels)
    return scene_sounds.unit(noise * 10 ** (decibels / 20))


def _hum(rng: np.random.Generator) -> np.ndarray:
    """Mains hum with random harmonics."""
    seconds = np.arange(PIECE_SAMPLES) / SAMPLE_RATE
    mains = rng.choice([50, 60])
    return sum(rng.random() / k * np.sin(2 * np.pi * (mains * k * seconds + rng.random())) for k in range(1, 12))


def _music(rng: np.random.Generator) -> np.ndarray:
    """Random chords and melodies of plucked or held tones."""
    music, beat, root = np.zeros(PIECE_SAMPLES), rng.uniform(0.25, 0.8), rng.uniform(50, 60)
    scale, slope, decay = np.array([0, 2, 4, 5, 7, 9, 11]), rng.uniform(0.8, 2), rng.uniform(0.1, 2)
    for start in np.arange(0, PIECE_SAMPLES, int(beat * SAMPLE_RATE)):
        seconds = np.arange(min(int(2 * beat * SAMPLE_RATE), PIECE_SAMPLES - start)) / SAMPLE_RATE
        for key in root + rng.choice(scale, rng.integers(1, 4)) + 12 * rng.integers(0, 3):
            frequency = 440 * 2 ** ((key - 69) / 12)
            tone = sum(np.sin(2 * np.pi * k * frequency * seconds) / k**slope for k in range(1, 8))
            fade = np.minimum(1, seconds / 0.01) * np.minimum(1, (2 * beat - seconds) / 0.05).clip(0)
            music[start : start + len(seconds)] += tone * fade * np.exp(-seconds / decay)
    return music


def _street(rng: np.random.Generator) -> np.ndarray:
    """Three vehicles or signals, one after another."""
    num_samples = PIECE_SAMPLES // 3 * scene_sounds.SAMPLE_RATE // SAMPLE_RATE
    labels = rng.choice(list(scene_sounds.SOUNDS), 3)
    sounds = [scene_sounds.make_sound(str(label), rng, num_samples) for label in labels]
    return soxr.resample(np.concatenate(sounds), scene_sounds.SAMPLE_RATE, SAMPLE_RATE)[:PIECE_SAMPLES]


TALK = (_talk, _talk, _babble)
SOUNDS = (_noise, _music, _street, _noise, _hum)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--words", type=split_words, required=True, help="separated by commas")
    parser.add_argument("--language", default="en", help="default: %(default)s")
    parser.add_argument("--num_voices", type=int, help="number of speakers (default: all)")
    parser.add_argument("--num_vocoded", type=int, default=0, help="number of further speakers made by a vocoder")
    parser.add_argument("--takes", type=int, help="clips per keyword and voice (default: balanced)")
    parser.add_argument(
        "--hours", type=float, default=1.0, help="of sound without keywords per split (default: %(default)s)"
    )
    parser.add_argument("--unknown_words", help="text file of other words")
    run_command(write_spoken_words, parser, argv)


def split_words(text: str) -> tuple[str, ...]:
    """Words separated by commas, in lower case."""
    return tuple(word.strip().lower() for word in text.split(",") if word.strip())


if __name__ == "__main__":
    main()
