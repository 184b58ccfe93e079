"""Generate a small DCASE 2017 task 4: synthetic street scenes, to try the training without a download.

    python -m training.synthetic.scenes --output_dir data/synthetic/scenes

Each clip has one to three warning sounds or vehicles, near or far, over street noise. Tables and folders have the
layout of `training.data.sources.dcase2017`.
"""

import argparse
import string
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from scipy import signal

from training.data.sources.dcase2017 import AUDIO_FOLDERS, LABELS, draw_validation
from training.errors import DataError
from training.synthetic.noise import colored_noise
from training.synthetic.output import check_at_least, new_folder, run_command, run_in_parallel
from training.synthetic.scene_sounds import SAMPLE_RATE, make_sound, unit, wander

NUM_CLIPS = 800
CLIP_SECONDS = 10
LOWEST = 30  # frequency of background noise, in Hz
SET_FRACTIONS = {"training": 0.7, "testing": 0.1, "evaluation": 0.2}
NUM_SOUNDS = {1: 0.8, 2: 0.16, 3: 0.04}  # number of simultaneous sounds: probability

# Further labels of a clip by its first label.
COMPANIONS = {
    "Train horn": ["Train", "Car", "Screaming"],
    "Air horn, truck horn": ["Truck", "Car passing by", "Bus"],
    "Car alarm": ["Car", "Screaming", "Police car (siren)"],
    "Reversing beeps": ["Truck", "Bus", "Car"],
    "Ambulance (siren)": ["Car", "Car passing by", "Police car (siren)"],
    "Police car (siren)": ["Car", "Motorcycle", "Screaming"],
    "Fire engine, fire truck (siren)": ["Truck", "Car", "Ambulance (siren)"],
    "Civil defense siren": ["Screaming", "Car passing by", "Bicycle"],
    "Screaming": ["Skateboard", "Car passing by", "Train"],
    "Bicycle": ["Car passing by", "Skateboard", "Bus"],
    "Skateboard": ["Screaming", "Bicycle", "Car passing by"],
    "Car": ["Motorcycle", "Bicycle", "Reversing beeps"],
    "Car passing by": ["Bicycle", "Motorcycle", "Skateboard"],
    "Bus": ["Car passing by", "Bicycle", "Air horn, truck horn"],
    "Truck": ["Air horn, truck horn", "Reversing beeps", "Car passing by"],
    "Motorcycle": ["Car passing by", "Police car (siren)", "Car"],
    "Train": ["Train horn", "Screaming", "Bicycle"],
}


class Scene(NamedTuple):
    """Description of a clip."""

    set_name: str  # key of AUDIO_FOLDERS
    file: str
    start: float  # position in the imaginary video, in seconds
    end: float
    labels: tuple[str, ...]


def write_scenes(output_dir: Path, num_clips: int = NUM_CLIPS, seed: int = 0, num_workers: int = 2) -> None:
    """Write synthetic street scenes in the layout of DCASE 2017 task 4: 10 s of 44.1 kHz mono PCM16 WAV each.

    The files depend only on `num_clips` and `seed`; `output_dir` appears when it is complete.

    Raises:
        DataError: an argument is out of range, or `output_dir` exists.
    """
    check_at_least(num_clips=(num_clips, 1), seed=(seed, 0), num_workers=(num_workers, 1))
    scenes = plan_scenes(num_clips, seed)
    with new_folder(output_dir) as partial_dir:
        for folder in AUDIO_FOLDERS.values():
            (partial_dir / folder).mkdir()
        _write_tables(partial_dir, scenes)
        rngs = np.random.default_rng(seed).spawn(len(scenes))  # one per clip, for any number of workers
        tasks = [partial(_write_scene, partial_dir, scene, rng) for scene, rng in zip(scenes, rngs, strict=True)]
        run_in_parallel(tasks, num_workers, "Rendering")


# Planning


def plan_scenes(num_clips: int, seed: int) -> list[Scene]:
    """Choose set, file name and labels of each clip. The labels take turns, so that every set has all of them.

    Raises:
        DataError: `num_clips` is too small for all labels in all splits.
    """
    rng = np.random.default_rng(seed)
    ends = np.round(np.cumsum(list(SET_FRACTIONS.values())) * num_clips)
    sets = np.array(list(SET_FRACTIONS))[np.searchsorted(ends, np.arange(num_clips), side="right")]
    scenes = [_plan_scene(set_name, LABELS[i % len(LABELS)], rng) for i, set_name in enumerate(sets.tolist())]
    if not _covers_all(scenes):
        raise DataError(f"{num_clips} clips are too few for all labels in all splits: increase num_clips")
    return scenes


def _plan_scene(set_name: str, label: str, rng: np.random.Generator) -> Scene:
    num_sounds = rng.choice(list(NUM_SOUNDS), p=list(NUM_SOUNDS.values()))
    others = rng.choice(COMPANIONS[label], num_sounds - 1, replace=False).tolist()
    video = "".join(rng.choice(list(string.ascii_letters + string.digits + "-_"), 11))  # like an id of YouTube
    start = CLIP_SECONDS * int(rng.integers(30))
    end = start + CLIP_SECONDS
    return Scene(set_name, f"{video}_{start:.3f}_{end:.3f}.wav", start, end, (label, *others))


def _covers_all(scenes: list[Scene]) -> bool:
    """Whether all splits of the loader have all labels."""
    rows = [(scene.set_name == "evaluation", scene.file, label) for scene in scenes for label in scene.labels]
    held_out = draw_validation([(file, LABELS.index(label)) for is_test, file, label in rows if not is_test])
    found = {(is_test, file in held_out, label) for is_test, file, label in rows}
    return len(found) == 3 * len(LABELS)  # three splits


def _write_tables(output_dir: Path, scenes: list[Scene]) -> None:
    for set_name in AUDIO_FOLDERS:
        rows = [
            f"{scene.file}\t{scene.start:.3f}\t{scene.end:.3f}\t{label}\n"
            for scene in scenes
            if scene.set_name == set_name
            for label in scene.labels
        ]
        table = output_dir / f"groundtruth_weak_label_{set_name}_set.csv"
        table.write_text("".join(rows), encoding="utf-8")


# Rendering


def _write_scene(output_dir: Path, scene: Scene, rng: np.random.Generator) -> None:
    path = output_dir / AUDIO_FOLDERS[scene.set_name] / f"Y{scene.file}"
    soundfile.write(path, render_scene(scene, rng), SAMPLE_RATE, subtype="PCM_16")


def render_scene(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Mix the sounds of a scene with street noise: float64 (samples,), with its peak below 1."""
    num_samples = round((scene.end - scene.start) * SAMPLE_RATE)
    clip = _amplitude(rng.uniform(-20, -6)) * _street(rng, num_samples)
    for label in scene.labels:
        length = int(rng.uniform(0.6, 1) * num_samples)
        start = rng.integers(num_samples - length + 1)
        sound = _place_at_distance(make_sound(label, rng, length), rng)
        clip[start : start + length] += _amplitude(rng.uniform(-6, 0)) * unit(sound)
    level = _amplitude(rng.uniform(-15, -1))
    return clip * level / np.abs(clip).max()


def _place_at_distance(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Simulate distance for `sound` (samples,): low-pass filter and reverberation; fade in and out."""
    distance = rng.random()  # 0 is near, 1 is far
    low_pass = signal.butter(1, 12_000 * 0.25**distance, fs=SAMPLE_RATE, output="sos")
    tail_seconds = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    tail = rng.standard_normal(SAMPLE_RATE) * np.exp(-tail_seconds / rng.uniform(0.05, 0.25))
    echo = signal.oaconvolve(sound, tail)[: len(sound)]
    distant = signal.sosfilt(low_pass, unit(sound) + 0.5 * distance * unit(echo))
    return distant * signal.windows.tukey(len(distant), 0.1)


def _street(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Background noise (samples,) with an RMS of 1: distant traffic, hum, and gusts of wind."""
    traffic = unit(colored_noise(rng, num_samples, SAMPLE_RATE, rng.uniform(0.5, 1.5), LOWEST))
    cycles = rng.uniform(48, 62) * np.arange(num_samples) / SAMPLE_RATE
    hum = unit(sum(np.sin(2 * np.pi * (k * cycles + rng.random())) for k in (1, 2, 3)))
    wind = unit(wander(rng, num_samples, 0, 1, every=1) * colored_noise(rng, num_samples, SAMPLE_RATE, 2, LOWEST))
    return unit(traffic + rng.uniform(0, 0.3) * hum + rng.uniform(0, 1) * wind)


def _amplitude(decibels: float) -> float:
    return 10 ** (decibels / 20)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num_clips", type=int, default=NUM_CLIPS, help="clips of 0.9 MB each (default: %(default)s)")
    run_command(write_scenes, parser, argv)


if __name__ == "__main__":
    main()
