"""
Training throughput of this package's network and of a plain network of nn.Conv1d layers.

    python -m benchmarks.training_step        # writes benchmarks/results/training_step.json

Each configuration runs in new processes, alternating with the others: one of them changes the memory allocator.
"""

import platform
import statistics
import time

import torch
import torch.nn.functional as F

from benchmarks.common import in_new_process, write_results
from benchmarks.plain import PlainSampleCNN
from samplecnn_hf import SampleCNNForAudioClassification, create_config
from training.loop.hardware import prepare_cpu

VARIANT, BATCH_SIZE, WARMUP_STEPS, STEPS, ROUNDS = "se-8", 23, 3, 8, 3
BASELINE = "plain Conv1d, float32"
# Arguments of `measure`: model class, bfloat16 autocast, keep freed memory.
CONFIGURATIONS = {
    BASELINE: (PlainSampleCNN, False, False),
    "plain Conv1d, bf16": (PlainSampleCNN, True, False),
    "ours, float32": (SampleCNNForAudioClassification, False, False),
    "ours, bf16": (SampleCNNForAudioClassification, True, False),
    "ours, bf16, freed memory kept (training/train.py)": (SampleCNNForAudioClassification, True, True),
}


def measure(model_class: type, bf16: bool, keep_memory: bool) -> float:
    """Train for `STEPS` steps after the warm-up and return segments per second."""
    if keep_memory:
        prepare_cpu(num_processes=1, threads=None)
    torch.manual_seed(0)
    config = create_config(VARIANT, num_labels=35)
    model = model_class(config).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True, fused=True)
    segments = 0.1 * torch.randn(BATCH_SIZE, config.segment_length)
    labels = torch.randint(35, (BATCH_SIZE,))
    for step in range(WARMUP_STEPS + STEPS):
        if step == WARMUP_STEPS:
            start = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            output = model(segments)
        logits = output if torch.is_tensor(output) else output.logits
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
    return BATCH_SIZE * STEPS / (time.perf_counter() - start)


def main():
    speeds = {name: [] for name in CONFIGURATIONS}
    for _ in range(ROUNDS):
        for name, arguments in CONFIGURATIONS.items():
            speeds[name].append(in_new_process(measure, *arguments))
    median = {name: statistics.median(values) for name, values in speeds.items()}
    results = {
        "network": VARIANT,
        "batch_size": BATCH_SIZE,
        "machine": f"{torch.get_num_threads()} threads, {platform.machine()}, torch {torch.__version__}",
        "segments_per_second": {name: round(value, 1) for name, value in median.items()},
        "ratio_to_plain_float32": {name: round(value / median[BASELINE], 2) for name, value in median.items()},
    }
    write_results("training_step", results)


if __name__ == "__main__":
    main()
