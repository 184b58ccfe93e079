"""
Time and memory of classifying a long file by the pipeline and by the runtime.

    python -m benchmarks.long_audio   # one hour of 44.1 kHz stereo; writes benchmarks/results/long_audio.json

The memory is the highest of a new process, above that after a clip of one segment. Random weights, float32, 50 labels.
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

from benchmarks.common import in_new_process, reset_peak_memory, resident_memory, write_results
from samplecnn_hf import (
    SampleCNNAudioClassificationPipeline,
    SampleCNNFeatureExtractor,
    SampleCNNForAudioClassification,
    create_config,
)
from samplecnn_hf.export import export_model
from samplecnn_hf.runtime import Runtime

VARIANT = "se-9"
RATE, CHANNELS = 44_100, 2


def write_model(folder: Path):
    torch.manual_seed(0)
    config = create_config(VARIANT, num_labels=50)
    extractor = SampleCNNFeatureExtractor(sampling_rate=config.sampling_rate, segment_length=config.segment_length)
    SampleCNNForAudioClassification(config).save_pretrained(folder)
    extractor.save_pretrained(folder)
    export_model(folder)


def write_noise(path: Path, seconds: int):
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", RATE, CHANNELS) as file:
        for _ in range(seconds):
            file.write(0.1 * rng.standard_normal((RATE, CHANNELS)))


def measure(load, model: str, path: str) -> dict[str, float]:
    """Seconds and MB that it takes to classify a file."""
    classify = load(model)
    length, rate = create_config(VARIANT).segment_length, create_config(VARIANT).sampling_rate
    classify(np.zeros(length, np.float32), sampling_rate=rate)
    before = resident_memory("VmRSS")
    reset_peak_memory()
    start = time.perf_counter()
    classify(path)
    return {"seconds": round(time.perf_counter() - start, 3), "mb": round(resident_memory("VmHWM") - before)}


def main(argv: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3600, help="length of the file (default: %(default)s)")
    args = parser.parse_args(argv)
    loaders = {"pipeline": SampleCNNAudioClassificationPipeline.from_pretrained, "runtime": Runtime}
    with tempfile.TemporaryDirectory() as folder:
        model, path = Path(folder) / VARIANT, Path(folder) / "noise.wav"
        write_model(model)
        write_noise(path, args.seconds)
        results = {name: in_new_process(measure, load, str(model), str(path)) for name, load in loaders.items()}
    machine = f"{torch.get_num_threads()} threads of {os.cpu_count()}, {platform.machine()}, torch {torch.__version__}"
    write_results("long_audio", {"network": VARIANT, "machine": machine, "audio_seconds": args.seconds, **results})


if __name__ == "__main__":
    main()
