"""
Cost of a timeline of overlapping windows: time relative to the pass over consecutive segments, and memory.

    python -m benchmarks.timeline   # writes results/timeline.json

Random weights, float32, 50 labels, optimized for inference. Ratios are medians over alternating passes, in CPU time of
one process; "separately" computes each window by itself. The memory is the highest of a process, above that with the
model loaded. The time per row is the CPU time that `SampleCNNStream` takes when a chunk completes a window.
"""

import platform
import statistics
import time
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.common import in_new_process, resident_memory, untrained, write_results
from samplecnn_hf import (
    SampleCNNAudioClassificationPipeline,
    SampleCNNStream,
    windows_samplecnn,
)

VARIANTS = ("basic-9", "se-9")
# Name: windows per segment (None: no timeline), and whether they are computed separately.
PASSES = {
    "consecutive": (None, False),
    "hop 1/3": (3, False),
    "hop 1/3, separately": (3, True),
    "hop 1/9": (9, False),
}
SECONDS, ROUNDS = 27, 2
MEMORY_SECONDS, MEMORY_HOP = 120, 3
STREAM_VARIANT, STREAM_ROWS = "se-8", 40


def load(variant: str) -> SampleCNNAudioClassificationPipeline:
    model, extractor = untrained(variant)
    model.optimize_for_inference()
    return SampleCNNAudioClassificationPipeline(model=model, feature_extractor=extractor, device="cpu")


def classify(pipe, seconds: float, hops_per_segment: int | None):
    extractor = pipe.feature_extractor
    audio = 0.1 * np.random.default_rng(0).standard_normal(round(seconds * extractor.sampling_rate), np.float32)
    options = {}
    if hops_per_segment is not None:
        hop_length_s = extractor.segment_length / hops_per_segment / extractor.sampling_rate
        options = {"return_timestamps": True, "hop_length_s": hop_length_s}
    pipe(audio, sampling_rate=extractor.sampling_rate, **options)


def measure_time(variant: str) -> dict[str, float]:
    """CPU time of each of `PASSES` relative to the first."""
    pipe = load(variant)
    seconds = {name: [] for name in PASSES}
    for _ in range(ROUNDS):
        for name, (count, separately) in PASSES.items():
            shared = (lambda *args: None) if separately else windows_samplecnn.choose_level
            with patch.object(windows_samplecnn, "choose_level", shared):
                start = time.process_time()
                classify(pipe, SECONDS, count)
                seconds[name].append(time.process_time() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {name: round(value / medians["consecutive"], 2) for name, value in medians.items()}


def measure_memory(variant: str, seconds: float) -> int:
    """MB above the loaded model at the peak of a timeline."""
    pipe = load(variant)
    loaded = resident_memory("VmRSS")
    classify(pipe, seconds, MEMORY_HOP)
    return round(resident_memory("VmHWM") - loaded)


def measure_stream() -> float:
    """Milliseconds per row of a stream whose chunks are as long as its hop."""
    model, extractor = untrained(STREAM_VARIANT, num_labels=12)
    stream = SampleCNNStream(model.optimize_for_inference(), extractor)
    seconds, chunk = [], np.zeros(stream.timeline.hop_length, np.float32)
    while len(seconds) < STREAM_ROWS:
        start = time.process_time()
        if stream.push(chunk):
            seconds.append(time.process_time() - start)
    return round(1000 * statistics.median(seconds), 1)


def main():
    results = {
        "machine": f"{torch.get_num_threads()} threads, {platform.machine()}, torch {torch.__version__}",
        "seconds": SECONDS,
        "time_relative_to_consecutive": {variant: in_new_process(measure_time, variant) for variant in VARIANTS},
        "memory_seconds": MEMORY_SECONDS,
        "memory_mb": {variant: in_new_process(measure_memory, variant, MEMORY_SECONDS) for variant in VARIANTS},
        "stream": {"network": STREAM_VARIANT, "milliseconds_per_row": in_new_process(measure_stream)},
    }
    write_results("timeline", results)


if __name__ == "__main__":
    main()
