"""
Time and memory of classifying a long file by the pipeline, the runtime and the command line.

    python -m benchmarks.long_audio   # one hour of 44.1 kHz stereo; writes benchmarks/results/long_audio.json

The memory is the highest of a new process, above that after a clip of two seconds. Random weights, float32, 50 labels.
The command line runs the exported file, as the runtime does.
"""

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch

from benchmarks.common import in_new_process, reset_peak_memory, resident_memory, untrained, write_results
from samplecnn_hf import (
    SampleCNNAudioClassificationPipeline,
)
from samplecnn_hf.cli import main as samplecnn
from samplecnn_hf.export import export_model
from samplecnn_hf.runtime import Runtime

VARIANT = "se-9"
RATE, CHANNELS = 44_100, 2


def write_model(folder: Path):
    for part in untrained(VARIANT):
        part.save_pretrained(folder)
    export_model(folder)


def write_noise(path: Path, seconds: int):
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", RATE, CHANNELS) as file:
        for _ in range(seconds):
            file.write(0.1 * rng.standard_normal((RATE, CHANNELS)))


def command_line(model: str):
    return lambda path: samplecnn(["classify", path, "--model", model])


def measure(load, model: str, clip: str, path: str) -> dict[str, float]:
    """Seconds and MB that it takes to classify a file."""
    classify = load(model)
    classify(clip)
    before = resident_memory("VmRSS")
    reset_peak_memory()
    start = time.perf_counter()
    classify(path)
    return {"seconds": round(time.perf_counter() - start, 3), "mb": round(resident_memory("VmHWM") - before)}


def main(argv: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3600, help="length of the file (default: %(default)s)")
    args = parser.parse_args(argv)
    loaders = {
        "pipeline": SampleCNNAudioClassificationPipeline.from_pretrained,
        "runtime": Runtime,
        "command line": command_line,
    }
    with tempfile.TemporaryDirectory() as folder:
        model, clip, path = (Path(folder) / name for name in (VARIANT, "clip.wav", "noise.wav"))
        write_model(model)
        write_noise(clip, 2)
        write_noise(path, args.seconds)
        files = [str(each) for each in (model, clip, path)]
        results = {name: in_new_process(measure, load, *files) for name, load in loaders.items()}
    machine = f"{torch.get_num_threads()} threads of {os.cpu_count()}, {platform.machine()}, torch {torch.__version__}"
    write_results("long_audio", {"network": VARIANT, "machine": machine, "audio_seconds": args.seconds, **results})


if __name__ == "__main__":
    main()
