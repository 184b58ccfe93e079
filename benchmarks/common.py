"""Shared by the benchmarks: measurements in new processes, and the files of results."""

import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def untrained(variant: str, num_labels: int = 50):
    """A classifier with random weights, and its feature extractor."""
    import torch

    from samplecnn_hf import SampleCNNFeatureExtractor, SampleCNNForAudioClassification, create_config

    torch.manual_seed(0)
    config = create_config(variant, num_labels=num_labels)
    extractor = SampleCNNFeatureExtractor(sampling_rate=config.sampling_rate, segment_length=config.segment_length)
    return SampleCNNForAudioClassification(config), extractor


def in_new_process(function, *args):
    """Call a function of a module in a new process, whose memory and allocator settings are its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        return executor.submit(function, *args).result()


def resident_memory(field: str) -> float:
    """MB of this process, from Linux."""
    with open("/proc/self/status", encoding="ascii") as status:
        return int(status.read().partition(f"{field}:")[2].split()[0]) / 1024


def reset_peak_memory():
    """`resident_memory("VmHWM")` starts again from the current memory."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def write_results(name: str, results: dict):
    """Write benchmarks/results/`name`.json and print it."""
    text = json.dumps(results, indent=2) + "\n"
    (RESULTS / f"{name}.json").write_text(text, encoding="utf-8")
    print(text, end="")
