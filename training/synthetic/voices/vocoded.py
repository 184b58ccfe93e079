"""Speakers made with the WORLD vocoder from flite's and festival's voices, and from blends of two of them."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from training.synthetic.voices import SAMPLE_RATE, debian, world

BLENDED = 0.5  # probability
MARGIN = round(0.05 * SAMPLE_RATE)  # silence around a word, for the analysis


@dataclass(frozen=True)
class VocodedSpeaker:
    """
    A speaker.

    Attributes:
        name: unique.
        voice: determines rhythm and pitch, before the changes.
        other: voice with which `voice` is blended.
        weight: of `other`, from 0 to 1.
        changes: of the blend.
    """

    name: str
    voice: str
    other: str
    weight: float
    changes: world.Speaker


def draw_speakers(count: int, voices: Sequence[str], seed: int) -> list[VocodedSpeaker]:
    """Random speakers, evenly distributed over `voices`; there are the same first ones for each `count`."""

    def draw(i: int) -> VocodedSpeaker:
        rng = np.random.default_rng([seed, i])
        weight = rng.uniform(0.2, 0.8) * (rng.random() < BLENDED)
        voice = voices[i % len(voices)]
        return VocodedSpeaker(f"{voice}#{i}", voice, str(rng.choice(voices)), weight, world.draw_speaker(rng))

    return [draw(i) for i in range(count)]


def say(word: str, takes: Sequence[tuple[VocodedSpeaker, int]], seed: int) -> Iterator[np.ndarray]:
    """Say `word` once for each speaker and number of the take: (samples,) float32 at 16 kHz."""
    voices = {speaker.voice for speaker, _ in takes} | {speaker.other for speaker, _ in takes if speaker.weight}
    spoken = {voice: world.analyze(_with_margin(debian.say(word, voice))) for voice in sorted(voices)}
    for speaker, take in takes:
        rng = np.random.default_rng([seed, *hashlib.sha1(f"{speaker.name}/{word}/{take}".encode()).digest()])
        blend = spoken[speaker.voice]
        if speaker.weight:
            blend = world.blend(blend, spoken[speaker.other], speaker.weight)
        yield world.synthesize(world.change(blend, speaker.changes, rng))


def _with_margin(samples: np.ndarray) -> np.ndarray:
    """Replace the silence at both ends by that of `MARGIN`."""
    audible = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
    return np.pad(samples[audible[0] : audible[-1] + 1], MARGIN)
