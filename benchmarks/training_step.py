"""
Speed of a training step: ours against a plain network of nn.Conv1d layers, in the same run on the same machine.

    python -m benchmarks.training_step        # se-8, batch 23; writes benchmarks/results/training_step.json

Each way runs in a process of its own, in turns, because one of them is about how the process handles memory.
"""

import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from benchmarks.plain import PlainSampleCNN
from samplecnn_hf import SampleCNNForAudioClassification, create_config
from training.loop.hardware import prepare_cpu

RESULTS = Path(__file__).parent / "results" / "training_step.json"
VARIANT, BATCH_SIZE, STEPS, ROUNDS = "se-8", 23, 8, 3
# name: our network?, bf16 autocast?, keep freed memory?
WAYS = {
    "plain Conv1d, float32": (False, False, False),
    "plain Conv1d, bf16": (False, True, False),
    "ours, float32": (True, False, False),
    "ours, bf16": (True, True, False),
    "ours, bf16, freed memory kept (training/train.py)": (True, True, True),
}


def measure(ours: bool, bf16: bool, keep_memory: bool) -> float:
    """Training steps of BATCH_SIZE segments, after three to warm up; segments a second."""
    if keep_memory:
        prepare_cpu(num_processes=1, threads=None)
    torch.manual_seed(0)
    config = create_config(VARIANT, num_labels=35)
    model = (SampleCNNForAudioClassification if ours else PlainSampleCNN)(config).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True, fused=True)
    segments = 0.1 * torch.randn(BATCH_SIZE, config.segment_length)
    labels = torch.randint(35, (BATCH_SIZE,))
    for step in range(3 + STEPS):
        if step == 3:
            started = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            output = model(segments)
        loss = F.cross_entropy((output.logits if ours else output).float(), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return BATCH_SIZE * STEPS / (time.perf_counter() - started)


def main():
    if len(sys.argv) == 2:  # a process of its own for one way
        print(measure(*WAYS[sys.argv[1]]))
        return
    speeds = {name: [] for name in WAYS}
    for _ in range(ROUNDS):
        for name in WAYS:
            command = [sys.executable, "-m", "benchmarks.training_step", name]
            speeds[name].append(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    median = {name: statistics.median(values) for name, values in speeds.items()}
    plain = median["plain Conv1d, float32"]
    results = {
        "network": VARIANT,
        "batch_size": BATCH_SIZE,
        "machine": f"{torch.get_num_threads()} threads, {platform.machine()}, torch {torch.__version__}",
        "segments_a_second": {name: round(value, 1) for name, value in median.items()},
        "ratio_to_plain_float32": {name: round(value / plain, 2) for name, value in median.items()},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(RESULTS.read_text())


if __name__ == "__main__":
    main()
