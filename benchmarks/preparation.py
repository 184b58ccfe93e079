"""
Speed and memory of preparing a data set, beside librosa's best resampler and the bare decoding, on one core.

    pip install librosa resampy
    python -m benchmarks.preparation          # writes benchmarks/results/preparation.json

The clips are mp3, 44.1 kHz, stereo, 29 s: synthetic (chords with noise). Each way decodes the same ones in turns.
"""

import json
import multiprocessing
import os
import platform
import re
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import soxr

from training.data.prepared import prepare
from training.data.source import Clip, Source

RESULTS = Path(__file__).parent / "results" / "preparation.json"
CLIPS, ROUNDS, SECONDS, FILE_RATE, MODEL_RATE = 16, 3, 29, 44_100, 22_050
MEMORY_CLIPS = (64, 256, 1024)  # of the same few files: the memory must not grow with them


def write_clips(folder: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    time_axis = np.arange(SECONDS * FILE_RATE) / FILE_RATE
    paths = []
    for i in range(CLIPS):
        chord = sum(np.sin(2 * np.pi * pitch * time_axis) for pitch in rng.uniform(80, 4000, 8)) / 20
        stereo = np.stack([chord, np.roll(chord, 400)], axis=1) + 0.02 * rng.standard_normal((len(chord), 2))
        paths.append(folder / f"{i}.mp3")
        soundfile.write(paths[-1], stereo, FILE_RATE)
    return paths


def with_librosa(paths: list[Path]):
    import librosa

    for path in paths:
        librosa.load(path, sr=MODEL_RATE, mono=True, res_type="kaiser_best")


def bare(paths: list[Path]):
    for path in paths:
        audio, rate = soundfile.read(path, dtype="float32")
        soxr.resample(audio.mean(axis=1), rate, MODEL_RATE)


def ours(paths: list[Path]):
    source = Source(
        "benchmark", ["a", "b"], "single_label_classification", {"train": [Clip(p, (0,)) for p in paths]}, ""
    )
    with tempfile.TemporaryDirectory() as folder:
        prepare(source, MODEL_RATE, folder, quiet=True)


WAYS = {"librosa.load, kaiser_best": with_librosa, "soundfile + soxr, nothing kept": bare, "prepare": ours}


def peak_memory(paths: list[Path], queue):
    """MB at most in a fresh process that prepares `paths`."""
    ours(paths)
    status = Path("/proc/self/status").read_text()
    queue.put(int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024)


def main():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core for everybody
    seconds = {name: [] for name in WAYS}
    memory = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = write_clips(Path(folder))
        for way in WAYS.values():
            way(paths[:2])  # librosa compiles at first
        for _ in range(ROUNDS):
            for name, way in WAYS.items():
                started = time.perf_counter()
                way(paths)
                seconds[name].append((time.perf_counter() - started) / CLIPS)
        context = multiprocessing.get_context("spawn")
        for count in MEMORY_CLIPS:
            queue = context.Queue()
            process = context.Process(target=peak_memory, args=((paths * (count // CLIPS)), queue))
            process.start()
            memory[str(count)] = round(queue.get())
            process.join()
    best = {name: statistics.median(times) for name, times in seconds.items()}
    results = {
        "clips": f"{CLIPS} mp3 of {SECONDS} s, {FILE_RATE} Hz stereo (synthetic), to {MODEL_RATE} Hz mono",
        "machine": f"1 core, {platform.machine()}",
        "milliseconds_a_clip": {name: round(1000 * value, 1) for name, value in best.items()},
        "speed_up_over_librosa": round(best["librosa.load, kaiser_best"] / best["prepare"], 2),
        "time_over_bare_decoding": round(best["prepare"] / best["soundfile + soxr, nothing kept"], 3),
        "peak_memory_mb_by_clips": memory,
    }
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
