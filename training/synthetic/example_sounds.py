"""Synthesize sounds of the labels of ESC-10 and UrbanSound8K: a few WAV files of 5 s, to try a model.

python -m training.synthetic.example_sounds rain clock_tick siren --output_dir sounds
"""

import argparse
from pathlib import Path

import numpy as np
import soundfile
from scipy import signal

from training.synthetic import scene_sounds
from training.synthetic.noise import colored_noise

SAMPLE_RATE = scene_sounds.SAMPLE_RATE
NUM_SAMPLES = 5 * SAMPLE_RATE
PEAK = 0.5


def rain(rng: np.random.Generator) -> np.ndarray:
    """Bright noise with thousands of drops per second."""
    drops = rng.standard_normal(NUM_SAMPLES) * (rng.random(NUM_SAMPLES) < 0.1)
    return colored_noise(rng, NUM_SAMPLES, SAMPLE_RATE, 0.3, 400) + signal.lfilter([1], [1, -0.7], drops)


def sea_waves(rng: np.random.Generator) -> np.ndarray:
    """Noise that swells and falls every six seconds."""
    swell = 0.25 + np.sin(np.pi * np.arange(NUM_SAMPLES) / SAMPLE_RATE / 6) ** 2
    return colored_noise(rng, NUM_SAMPLES, SAMPLE_RATE, 1.4, 200) * swell


def clock_tick(rng: np.random.Generator) -> np.ndarray:
    """Alternating clicks, two per second."""
    clicks = np.zeros(NUM_SAMPLES)
    clicks[SAMPLE_RATE // 4 :: SAMPLE_RATE] = 1.0
    clicks[3 * SAMPLE_RATE // 4 :: SAMPLE_RATE] = 0.7
    ring = np.exp(-np.arange(SAMPLE_RATE // 50) / (0.003 * SAMPLE_RATE)) * rng.standard_normal(SAMPLE_RATE // 50)
    return signal.convolve(clicks, ring)[:NUM_SAMPLES] + 0.002 * rng.standard_normal(NUM_SAMPLES)


def helicopter(rng: np.random.Generator) -> np.ndarray:
    """Beats of the blades, 13 per second, over the noise of the turbine."""
    phase = 13 * np.arange(NUM_SAMPLES) / SAMPLE_RATE % 1
    beats = np.exp(-8 * phase) * colored_noise(rng, NUM_SAMPLES, SAMPLE_RATE, 1.5, 30)
    return scene_sounds.unit(beats) + 0.3 * scene_sounds.unit(colored_noise(rng, NUM_SAMPLES, SAMPLE_RATE, 1, 60))


def siren(rng: np.random.Generator) -> np.ndarray:
    """The siren of a police car."""
    return scene_sounds.police_car(rng, NUM_SAMPLES)


def engine_idling(rng: np.random.Generator) -> np.ndarray:
    """The engine of a bus."""
    return scene_sounds.bus(rng, NUM_SAMPLES)


SOUNDS = {f.__name__: f for f in (rain, sea_waves, clock_tick, helicopter, siren, engine_idling)}


def main(argv: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sounds", nargs="+", choices=SOUNDS, metavar="SOUND", help=", ".join(SOUNDS))
    parser.add_argument("--output_dir", type=Path, required=True)
    args = parser.parse_args(argv)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    for name in args.sounds:
        sound = SOUNDS[name](np.random.default_rng(0))
        path = args.output_dir / f"{name}.wav"
        soundfile.write(path, PEAK * sound / np.abs(sound).max(), SAMPLE_RATE, subtype="PCM_16")


if __name__ == "__main__":
    main()
