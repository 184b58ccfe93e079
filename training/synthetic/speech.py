"""Generate a small Speech Commands: words spoken by synthetic voices, to try the training without a download.

    python -m training.synthetic.speech --output_dir data/spoken --num_voices 100

The words are spoken by espeak-ng, from the PyPI wheel `espeakng-loader`, and with --num_vocoded also by speakers
that the WORLD vocoder makes from the voices of flite and festival (`training.synthetic.voices`). espeak-ng is licensed
under the GPL-3; it is an optional extra, only used to generate data, and never imported by `samplecnn_hf`.
"""

import argparse
import hashlib
from collections.abc import Sequence
from functools import partial
from itertools import chain, product
from pathlib import Path

import numpy as np
import soundfile

from training.data.sources.speech_commands import BACKGROUND_NOISE, SPLIT_LISTS, UNKNOWN, assign_split
from training.errors import DataError
from training.synthetic.noise import colored_noise
from training.synthetic.output import check_at_least, import_package, new_folder, run_command, run_in_parallel
from training.synthetic.voices import SAMPLE_RATE, debian, vocoded, world
from training.synthetic.voices.espeak import ACCENTS, Espeak, list_accents, list_variants
from training.synthetic.voices.vocoded import VocodedSpeaker

DEFAULT_WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
CLIP_SAMPLES = SAMPLE_RATE  # 1 s
NOISE_SAMPLES = 10 * SAMPLE_RATE  # 10 s
LOWEST = 20  # frequency of colored noise, in Hz
VOICES_PER_PROCESS = 16
UNKNOWN_PER_VOICE = 12  # words

BABBLE_TEXT = (
    "The morning train was late again, so we sat by the window and talked about the garden, the price of bread and "
    "the long summer when my brother painted the whole house blue. Somebody ordered coffee and someone else laughed "
    "at a story that nobody in the corner could hear."
)


def write_spoken_commands(
    output_dir: Path,
    words: Sequence[str] = DEFAULT_WORDS,
    num_voices: int | None = None,
    takes: int = 1,
    seed: int = 0,
    num_workers: int = 2,
    language: str = "en",
    unknown_words: Sequence[str] = (),
    num_vocoded: int = 0,
) -> None:
    """Write synthetic spoken words in the layout of the Speech Commands archive.

    Each of the `num_voices` voices of espeak-ng (None: all) in the language is a speaker, and so are `num_vocoded`
    English voices made by the WORLD vocoder. Each says each word `takes` times, in 1 s of 16 kHz mono PCM16 WAV.
    `unknown_words` are the class `_unknown_`: each speaker says `UNKNOWN_PER_VOICE` of them that no speaker of another
    split says. The files do not depend on `num_workers`; `output_dir` appears when it is complete.

    Raises:
        DataError: an argument is out of range, `output_dir` exists, or a package is not installed.
    """
    if not words or len(set(words)) < len(words) or not all(word.isalpha() and word.islower() for word in words):
        raise DataError(f"words must be unique and consist of lower-case letters; got {','.join(words)!r}")
    check_at_least(takes=(takes, 1), seed=(seed, 0), num_workers=(num_workers, 1), num_vocoded=(num_vocoded, 0))
    voices = _pick_voices(num_voices, seed, language)
    speakers = _draw_vocoded(num_vocoded, seed, language)
    with new_folder(output_dir) as partial_dir:
        for folder in (*words, BACKGROUND_NOISE, *([UNKNOWN] if unknown_words else [])):
            (partial_dir / folder).mkdir()
        # The output of espeak-ng depends on earlier calls, even after re-initialization. Fixed groups of voices, each
        # in a new process, make the files independent of the number of workers.
        groups = [voices[i : i + VOICES_PER_PROCESS] for i in range(0, len(voices), VOICES_PER_PROCESS)]
        said = {voice: _said_by(voice, words, takes, unknown_words, seed) for voice in voices}
        tasks = [partial(_speak_group, partial_dir, {voice: said[voice] for voice in group}, seed) for group in groups]
        tasks.append(partial(_write_noises, partial_dir / BACKGROUND_NOISE, seed))
        run_in_parallel(tasks, num_workers, "Speaking", tasks_per_process=1)
        if speakers:
            vocoded_clips = [
                (speaker, _said_by(speaker.name, words, takes, unknown_words, seed)) for speaker in speakers
            ]
            tasks = [partial(_speak_vocoded, partial_dir, *clips, seed) for clips in _by_word(vocoded_clips)]
            run_in_parallel(tasks, num_workers, "Speaking, vocoded")
        write_lists(partial_dir)


# Voices


def _pick_voices(num_voices: int | None, seed: int, language: str) -> list[str]:
    """Draw `num_voices` voice names such as "en-us+f3", evenly distributed over the accents."""
    variants = list_variants()
    rng = np.random.default_rng(seed)
    by_accent = [[f"{accent}+{variant}" for variant in rng.permutation(variants)] for accent in list_accents(language)]
    voices = list(chain.from_iterable(zip(*by_accent, strict=True)))
    if num_voices is not None:
        if not 1 <= num_voices <= len(voices):
            raise DataError(f"num_voices must be from 1 to {len(voices)}, got {num_voices}")
        voices = voices[:num_voices]

    missing = {"train", "validation", "test"} - {assign_split(_file_name(voice, 0)) for voice in voices}
    if missing:
        raise DataError(f"none of the {len(voices)} voices is in {', '.join(sorted(missing))}: increase num_voices")
    return voices


def _draw_vocoded(count: int, seed: int, language: str) -> list[VocodedSpeaker]:
    """Draw speakers. Raises `DataError` if pyworld, or flite and festival, are not installed."""
    if count == 0:
        return []
    if language != "en":
        raise DataError(f"num_vocoded must be 0: flite and festival speak English, not {language!r}")
    import_package("pyworld", world.INSTALL)
    if not (voices := debian.installed_voices()):
        raise DataError(f"num_vocoded needs flite or festival, which are not installed; on Debian: {debian.INSTALL}")
    print(f"Vocoded speakers from {', '.join(voices)}")
    return vocoded.draw_speakers(count, voices, seed)


def _file_name(voice: str, take: int) -> str:
    speaker = hashlib.sha1(voice.encode()).hexdigest()[:8]
    return f"{speaker}_nohash_{take}.wav"


# Speaking


def _said_by(
    voice: str, words: Sequence[str], takes: int, unknown_words: Sequence[str], seed: int
) -> list[tuple[str, str, int]]:
    """Class, word and number of the take of each clip of a voice."""
    said = [(word, word, take) for word, take in product(words, range(takes))]
    rng = np.random.default_rng([seed, 3, *hashlib.sha1(voice.encode()).digest()])
    unknown = [word for word in unknown_words if assign_split(word) == assign_split(_file_name(voice, 0))]
    drawn = rng.permutation(unknown)[:UNKNOWN_PER_VOICE]
    return said + [(UNKNOWN, str(word), take) for take, word in enumerate(drawn)]


def _speak_group(output_dir: Path, said: dict[str, list[tuple[str, str, int]]], seed: int) -> None:
    """Write all clips of a group of voices, in a separate process."""
    espeak = Espeak(seed)
    for voice, class_name, word, take in ((voice, *clip) for voice, clips in said.items() for clip in clips):
        rng = np.random.default_rng([seed, *hashlib.sha1(f"{voice}/{word}/{take}".encode()).digest()])
        spoken = espeak.say(
            word,
            voice,
            rate=int(rng.integers(120, 210)),
            pitch=int(np.clip(rng.normal(50, 12), 0, 99)),
            pitch_range=int(rng.integers(20, 80)),
        )
        path = output_dir / class_name / _file_name(voice, take)
        soundfile.write(path, _place(spoken, rng), SAMPLE_RATE, subtype="PCM_16")


def _by_word(
    said: list[tuple[VocodedSpeaker, list[tuple[str, str, int]]]],
) -> list[tuple[str, str, list[tuple[VocodedSpeaker, int]]]]:
    """Class, word, and each speaker and number of the take: the voices of all speakers of a word are analyzed once."""
    groups = {}
    for speaker, clips in said:
        for class_name, word, take in clips:
            groups.setdefault((class_name, word), []).append((speaker, take))
    return [(class_name, word, takes) for (class_name, word), takes in groups.items()]


def _speak_vocoded(
    output_dir: Path, class_name: str, word: str, takes: list[tuple[VocodedSpeaker, int]], seed: int
) -> None:
    """Write all clips of a word by vocoded speakers."""
    for (speaker, take), spoken in zip(takes, vocoded.say(word, takes, seed), strict=True):
        rng = np.random.default_rng([seed, *hashlib.sha1(f"place {speaker.name}/{word}/{take}".encode()).digest()])
        path = output_dir / class_name / _file_name(speaker.name, take)
        soundfile.write(path, _place(spoken, rng), SAMPLE_RATE, subtype="PCM_16")


def _place(spoken: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Trim silence, set a random level and place the word near the middle of a clip, float32 (CLIP_SAMPLES,)."""
    peak = np.abs(spoken).max()
    audible = np.flatnonzero(np.abs(spoken) > 0.01 * peak)
    word = spoken[audible[0] : audible[-1] + 1][:CLIP_SAMPLES]
    level = 10 ** (rng.uniform(-20, -1) / 20)  # peak amplitude; real recordings have about the same range

    room = CLIP_SAMPLES - len(word)
    off_center = rng.uniform(-0.1, 0.1) * SAMPLE_RATE
    start = int(np.clip(room / 2 + off_center, 0, room))
    clip = np.zeros(CLIP_SAMPLES, np.float32)
    clip[start : start + len(word)] = word * (level / peak)
    return clip


def _speak_babble(seed: int) -> np.ndarray:
    """Several people talking at once, (NOISE_SAMPLES,), none of them a speaker of words."""
    espeak = Espeak(seed)
    rng = np.random.default_rng([seed, 1])
    babble = np.zeros(NOISE_SAMPLES)
    for accent in ACCENTS:
        talk = espeak.say(BABBLE_TEXT, accent, rate=int(rng.integers(120, 210)), pitch=int(rng.integers(20, 80)))
        babble += np.resize(np.roll(talk, rng.integers(len(talk))), NOISE_SAMPLES)
    return babble


def without_homophones(others: Sequence[str], words: Sequence[str], language: str) -> list[str]:
    """The `others` that are not pronounced as one of `words` in any accent of the language."""
    espeak, accents = Espeak(seed=0), list_accents(language)
    known = {(accent, espeak.phonemes(word, accent)) for word in words for accent in accents}
    return [other for other in others if not known & {(accent, espeak.phonemes(other, accent)) for accent in accents}]


# Background noise and split lists


def _write_noises(output_dir: Path, seed: int) -> None:
    """Write the background noise, in a separate process."""
    rng = np.random.default_rng([seed, 2])
    seconds = np.arange(NOISE_SAMPLES) / SAMPLE_RATE
    hum = sum(np.sin(2 * np.pi * (50 * k * seconds + rng.random())) / k for k in range(1, 11))
    noises = {
        "white_noise": colored_noise(rng, NOISE_SAMPLES, SAMPLE_RATE, 0, LOWEST),
        "pink_noise": colored_noise(rng, NOISE_SAMPLES, SAMPLE_RATE, 1, LOWEST),
        "brown_noise": colored_noise(rng, NOISE_SAMPLES, SAMPLE_RATE, 2, LOWEST),
        "mains_hum": hum + 0.1 * rng.standard_normal(NOISE_SAMPLES),
        "babble": _speak_babble(seed),
    }
    for name, noise in noises.items():
        noise = 0.05 * noise / np.sqrt(np.mean(noise**2))  # RMS of -26 dBFS: headroom for the peaks of speech
        soundfile.write(output_dir / f"{name}.wav", noise, SAMPLE_RATE, subtype="PCM_16")


def write_lists(output_dir: Path) -> None:
    """Write the split lists of all clips in a folder."""
    names = sorted(path.relative_to(output_dir).as_posix() for path in output_dir.glob("*/*_nohash_*.wav"))
    for split, list_name in SPLIT_LISTS.items():
        held_out = [f"{name}\n" for name in names if assign_split(name) == split]
        (output_dir / list_name).write_text("".join(held_out), encoding="utf-8")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--words",
        type=lambda text: tuple(text.split(",")),
        default=",".join(DEFAULT_WORDS),
        help="separated by commas (default: %(default)s)",
    )
    parser.add_argument("--num_voices", type=int, help="number of speakers (default: all)")
    parser.add_argument(
        "--num_vocoded",
        type=int,
        default=0,
        help="number of further speakers, made by the WORLD vocoder from flite's and festival's voices (default: 0)",
    )
    parser.add_argument("--takes", type=int, default=1, help="clips per word and voice (default: %(default)s)")
    run_command(write_spoken_commands, parser, argv)


if __name__ == "__main__":
    main()
