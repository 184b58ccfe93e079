"""
Cost of a timeline of overlapping windows: time relative to the pass over consecutive segments, and memory.

    python -m benchmarks.timeline   # writes results/timeline.json

Random weights, float32, 50 labels. Ratios are medians over alternating passes, in CPU time of one process;
"separately" computes each window by itself. The memory is the highest of a process, above that with the model loaded.
"""

import platform
import statistics
import time
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.common import in_new_process, write_results
from samplecnn_hf import (
    SampleCNNAudioClassificationPipeline,
    SampleCNNFeatureExtractor,
    SampleCNNForAudioClassification,
    create_config,
    windows_samplecnn,
)

VARIANTS = ("basic-9", "res1-9", "se-9")
HOPS = {"1/3": 3, "1/9": 9}  # of a segment
SECONDS, ROUNDS = 40, 3
MEMORY_SECONDS, MEMORY_HOP = 600, 3


def load(variant: str) -> SampleCNNAudioClassificationPipeline:
    torch.manual_seed(0)
    config = create_config(variant, num_labels=50)
    extractor = SampleCNNFeatureExtractor(sampling_rate=config.sampling_rate, segment_length=config.segment_length)
    model = SampleCNNForAudioClassification(config).eval()
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
    """CPU time of timelines relative to the pass without overlap, whose time per segment is in milliseconds."""
    pipe = load(variant)
    separately = patch.object(windows_samplecnn, "choose_level", lambda *args: None)
    seconds = {}
    for _ in range(ROUNDS):
        passes = [("consecutive", None, None)]
        for name, count in HOPS.items():
            passes += [(f"hop {name}", count, None), (f"hop {name}, separately", count, separately)]
        for name, count, context in passes:
            if context is not None:
                context.start()
            start = time.process_time()
            classify(pipe, SECONDS, count)
            seconds.setdefault(name, []).append(time.process_time() - start)
            if context is not None:
                context.stop()
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {name: round(value / medians["consecutive"], 2) for name, value in medians.items()}


def measure_memory(variant: str, seconds: float) -> int:
    """MB above the loaded model at the peak of a timeline."""
    pipe = load(variant)
    loaded = resident_memory("VmRSS")
    classify(pipe, seconds, MEMORY_HOP)
    return round(resident_memory("VmHWM") - loaded)


def resident_memory(field: str) -> float:
    """MB of this process, from Linux."""
    with open("/proc/self/status", encoding="ascii") as status:
        return int(status.read().partition(f"{field}:")[2].split()[0]) / 1024


def main():
    results = {
        "machine": f"{torch.get_num_threads()} threads, {platform.machine()}, torch {torch.__version__}",
        "seconds": SECONDS,
        "time_relative_to_consecutive": {variant: in_new_process(measure_time, variant) for variant in VARIANTS},
        "memory_seconds": MEMORY_SECONDS,
        "memory_mb": {variant: in_new_process(measure_memory, variant, MEMORY_SECONDS) for variant in VARIANTS},
    }
    write_results("timeline", results)


if __name__ == "__main__":
    main()
