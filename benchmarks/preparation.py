"""
Time and memory of preparing a dataset on one core, compared with librosa and with decoding and resampling alone.

    pip install librosa resampy
    python -m benchmarks.preparation          # writes benchmarks/results/preparation.json

The clips are synthetic (chords with noise): mp3, 44.1 kHz, stereo, 29 s. The methods alternate.
"""

import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import soxr

from benchmarks.common import in_new_process, resident_memory, write_results
from training.data.prepared import prepare
from training.data.source import Clip, Source

NUM_CLIPS, ROUNDS, SECONDS, FILE_RATE, MODEL_RATE = 16, 3, 29, 44_100, 22_050
MEMORY_CLIPS = (64, 256, 1024)  # numbers of clips, repeating the same files: memory should not grow with them


def write_clips(folder: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    time_axis = np.arange(SECONDS * FILE_RATE) / FILE_RATE
    paths = []
    for i in range(NUM_CLIPS):
        chord = sum(np.sin(2 * np.pi * pitch * time_axis) for pitch in rng.uniform(80, 4000, 8)) / 20
        stereo = np.stack([chord, np.roll(chord, 400)], axis=1) + 0.02 * rng.standard_normal((len(chord), 2))
        paths.append(folder / f"{i}.mp3")
        soundfile.write(paths[-1], stereo, FILE_RATE)
    return paths


def load_with_librosa(paths: list[Path]):
    import librosa

    for path in paths:
        librosa.load(path, sr=MODEL_RATE, mono=True, res_type="kaiser_best")


def decode_and_resample(paths: list[Path]):
    for path in paths:
        audio, rate = soundfile.read(path, dtype="float32")
        soxr.resample(audio.mean(axis=1), rate, MODEL_RATE)


def prepare_clips(paths: list[Path]):
    clips = {"train": [Clip(path, (0,)) for path in paths]}
    source = Source("benchmark", paths[0].parent, ["a", "b"], "single_label_classification", clips, "accuracy")
    with tempfile.TemporaryDirectory() as folder:
        prepare(source, MODEL_RATE, folder, quiet=True)


METHODS = {
    "librosa.load, kaiser_best": load_with_librosa,
    "soundfile + soxr, nothing kept": decode_and_resample,
    "prepare": prepare_clips,
}


def peak_memory(paths: list[Path]) -> float:
    """Prepare `paths` and return the peak memory of this process in MB."""
    prepare_clips(paths)
    return resident_memory("VmHWM")


def main():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core
    seconds = {name: [] for name in METHODS}
    with tempfile.TemporaryDirectory() as folder:
        paths = write_clips(Path(folder))
        for method in METHODS.values():
            method(paths[:2])  # warm-up: librosa compiles its functions
        for _ in range(ROUNDS):
            for name, method in METHODS.items():
                start = time.perf_counter()
                method(paths)
                seconds[name].append((time.perf_counter() - start) / len(paths))
        many = {count: paths * (count // len(paths)) for count in MEMORY_CLIPS}
        memory = {str(count): round(in_new_process(peak_memory, clips)) for count, clips in many.items()}
    median = {name: statistics.median(times) for name, times in seconds.items()}
    results = {
        "clips": f"{NUM_CLIPS} mp3 of {SECONDS} s, {FILE_RATE} Hz stereo (synthetic), to {MODEL_RATE} Hz mono",
        "machine": f"1 core, {platform.machine()}",
        "milliseconds_per_clip": {name: round(1000 * value, 1) for name, value in median.items()},
        "speed_up_over_librosa": round(median["librosa.load, kaiser_best"] / median["prepare"], 2),
        "time_over_bare_decoding": round(median["prepare"] / median["soundfile + soxr, nothing kept"], 3),
        "peak_memory_mb_by_clips": memory,
    }
    write_results("preparation", results)


if __name__ == "__main__":
    main()
