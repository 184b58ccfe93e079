"""New speakers from a voice, with the WORLD vocoder: other formants, pitch, breathiness, rhythm and intonation.

    speaker = draw_speaker(rng)
    samples = synthesize(change(analyze(samples), speaker, rng))

WORLD is the PyPI package `pyworld`, in the extra `vocoder`.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from training.synthetic.output import import_package
from training.synthetic.voices import SAMPLE_RATE

INSTALL = 'pip install "samplecnn-hf[vocoder]"'
FRAME_PERIOD = 5.0  # ms
PITCH_LIMITS = (60.0, 500.0)  # Hz
SPEED_POINTS = 4  # at which the speed within a word is random
BLEND_BANDS = 24  # of the spectra by which two voices are aligned


class Spoken(NamedTuple):
    """
    The frames of an utterance.

    Attributes:
        pitch: (frames,) in Hz, 0 where unvoiced.
        envelope: (frames, bins) power spectrum without the harmonics.
        aperiodicity: (frames, bins), from 0 (harmonics) to 1 (noise).
    """

    pitch: np.ndarray
    envelope: np.ndarray
    aperiodicity: np.ndarray


@dataclass(frozen=True)
class Speaker:
    """
    How a speaker differs from a voice.

    Attributes:
        formants: ratio of the formant frequencies; a shorter vocal tract has higher ones.
        upper_formants: a further ratio at the Nyquist frequency, which grows linearly from 1 at 0 Hz.
        pitch: ratio of the mean pitch.
        intonation: ratio of the intervals between the pitch and its mean.
        aperiodicity: exponent of the aperiodicity; a breathy voice has one below 1.
        speed: ratio of the speed.
    """

    formants: float
    upper_formants: float
    pitch: float
    intonation: float
    aperiodicity: float
    speed: float


def draw_speaker(rng: np.random.Generator) -> Speaker:
    """A random speaker; one with higher formants has a higher pitch on average."""
    formants = np.exp(rng.uniform(-0.16, 0.24))
    return Speaker(
        formants=formants,
        upper_formants=np.exp(rng.uniform(-0.08, 0.08)),
        pitch=formants**1.5 * np.exp(rng.normal(0, 0.2)),
        intonation=rng.uniform(0.3, 2.0),
        aperiodicity=rng.uniform(0.3, 1.2),
        speed=np.exp(rng.uniform(-0.3, 0.35)),
    )


def analyze(samples: np.ndarray) -> Spoken:
    """(samples,) at 16 kHz -> frames. Raises `DataError` if pyworld is not installed."""
    world = import_package("pyworld", INSTALL)
    samples = samples.astype(np.float64)
    pitch, times = world.dio(samples, SAMPLE_RATE, frame_period=FRAME_PERIOD)
    pitch = world.stonemask(samples, pitch, times, SAMPLE_RATE)
    envelope = world.cheaptrick(samples, pitch, times, SAMPLE_RATE)
    return Spoken(pitch, envelope, world.d4c(samples, pitch, times, SAMPLE_RATE))


def synthesize(spoken: Spoken) -> np.ndarray:
    """Frames -> (samples,) float32 at 16 kHz. Raises `DataError` if pyworld is not installed."""
    world = import_package("pyworld", INSTALL)
    return world.synthesize(*map(np.ascontiguousarray, spoken), SAMPLE_RATE, FRAME_PERIOD).astype(np.float32)


def change(spoken: Spoken, speaker: Speaker, rng: np.random.Generator) -> Spoken:
    """The same word by another speaker, with a rhythm and an intonation of this take."""
    spoken = _change_rhythm(spoken, speaker.speed, rng)
    frames, bins = spoken.envelope.shape
    ratio = speaker.formants * np.linspace(1, speaker.upper_formants, bins)
    source_bin = np.clip(np.arange(bins) / ratio, 0, bins - 1)
    envelope = np.exp(_interpolate(np.log(spoken.envelope).T, source_bin).T)
    aperiodicity = _interpolate(spoken.aperiodicity.T, source_bin).T ** speaker.aperiodicity
    return Spoken(_change_pitch(spoken.pitch, speaker, rng), envelope, aperiodicity)


def blend(first: Spoken, second: Spoken, weight: float) -> Spoken:
    """A voice between two that say the same word: `weight` 0 is the first, with its rhythm and pitch, 1 the second."""
    path = _align(first.envelope, second.envelope)
    envelope = np.exp((1 - weight) * np.log(first.envelope) + weight * np.log(second.envelope[path]))
    aperiodicity = (1 - weight) * first.aperiodicity + weight * second.aperiodicity[path]
    return Spoken(first.pitch, envelope, aperiodicity)


def _change_rhythm(spoken: Spoken, speed: float, rng: np.random.Generator) -> Spoken:
    """Resample the frames at a speed that varies within the word."""
    frames = len(spoken.pitch)
    speeds = speed * np.exp(rng.uniform(-0.12, 0.12) + rng.uniform(-0.3, 0.3, SPEED_POINTS))
    speeds = np.interp(np.linspace(0, 1, frames), np.linspace(0, 1, SPEED_POINTS), speeds)
    starts = np.cumsum(1 / speeds) - 1 / speeds  # of the old frames, counted in new frames
    position = np.interp(np.arange(int(starts[-1]) + 1), starts, np.arange(frames))
    nearest = np.rint(position).astype(int)  # pitch would glide to 0 at the border of a voiced sound
    envelope = np.exp(_interpolate(np.log(spoken.envelope), position))
    return Spoken(spoken.pitch[nearest], envelope, spoken.aperiodicity[nearest])


def _change_pitch(pitch: np.ndarray, speaker: Speaker, rng: np.random.Generator) -> np.ndarray:
    """Move and stretch the pitch, and tilt it by a random slope."""
    voiced = pitch > 0
    if not voiced.any():
        return pitch
    log_pitch = np.log(pitch[voiced])
    mean = log_pitch.mean()
    slope = rng.normal(0, 0.15) * np.linspace(-1, 1, len(pitch))[voiced]
    new_mean = mean + np.log(speaker.pitch) + rng.normal(0, 0.06)
    changed = np.zeros_like(pitch)
    changed[voiced] = np.exp(new_mean + (log_pitch - mean) * speaker.intonation + slope)
    return np.where(voiced, changed.clip(*PITCH_LIMITS), 0)


def _interpolate(rows: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Rows at fractional positions."""
    left = np.minimum(position.astype(int), len(rows) - 2)
    weight = (position - left)[:, None]
    return rows[left] * (1 - weight) + rows[left + 1] * weight


def _align(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Dynamic time warping of envelopes: for each frame of the first, the index of a frame of the second."""
    first, second = (_coarse_shape(envelope) for envelope in (first, second))
    distance = np.linalg.norm(first[:, None] - second[None], axis=-1)
    rows, columns = distance.shape
    cost = np.full((rows + 1, columns + 1), np.inf)
    cost[0, 0] = 0
    for i in range(rows):
        for j in range(columns):
            cost[i + 1, j + 1] = distance[i, j] + min(cost[i, j], cost[i, j + 1], cost[i + 1, j])
    path = np.zeros(rows, int)
    i, j = rows - 1, columns - 1
    while i >= 0:
        path[i] = j
        i, j = min((i - 1, j - 1), (i - 1, j), (i, j - 1), key=lambda step: cost[step[0] + 1, step[1] + 1])
    return path


def _coarse_shape(envelope: np.ndarray) -> np.ndarray:
    """(frames, bins) -> (frames, bands): the log spectrum in bands, relative to the loudest frame."""
    edges = np.unique(np.geomspace(2, envelope.shape[1], BLEND_BANDS + 1).astype(int))
    bands = np.log(np.add.reduceat(envelope, edges[:-1], axis=1) + 1e-8 * envelope.max())
    return bands - bands.max()
