"""
Training throughput of this package's networks and of plain networks of nn.Conv1d layers, and the cost of augmentation.

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
from training.loop.augment import Augment
from training.loop.hardware import prepare_cpu
from training.recipe import Recipe

VARIANTS, BATCH_SIZE, WARMUP_STEPS, STEPS, ROUNDS = ("se-8", "se-9", "se-8-strided4"), 23, 3, 8, 3
RECIPE = "training/recipes/speech_commands/modern.yaml"
BASELINE, FASTEST = "plain Conv1d, float32", "ours, bf16, freed memory kept (training/train.py)"
# Arguments of `measure`: model class, bfloat16 autocast, keep freed memory.
CONFIGURATIONS = {
    BASELINE: (PlainSampleCNN, False, False),
    "plain Conv1d, bf16": (PlainSampleCNN, True, False),
    "ours, float32": (SampleCNNForAudioClassification, False, False),
    "ours, bf16": (SampleCNNForAudioClassification, True, False),
    FASTEST: (SampleCNNForAudioClassification, True, True),
}


def measure(variant: str, model_class: type, bf16: bool, keep_memory: bool) -> float:
    """Train for `STEPS` steps after the warm-up and return segments per second."""
    if keep_memory:
        prepare_cpu(num_processes=1, threads=None)
    torch.manual_seed(0)
    config = create_config(variant, num_labels=35)
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


def measure_augmentation() -> float:
    """All augmentations of the recipe, in segments of the first network per second."""
    prepare_cpu(num_processes=1, threads=None)
    augment = Augment(Recipe.load(RECIPE, data_dir="data", output_dir="runs"), sampling_rate=22_050)
    segments = 0.1 * torch.randn(BATCH_SIZE, 1, create_config(VARIANTS[0]).segment_length)
    labels = torch.eye(BATCH_SIZE)
    for step in range(WARMUP_STEPS + STEPS):
        if step == WARMUP_STEPS:
            start = time.perf_counter()
        augment(segments, labels)
    return BATCH_SIZE * STEPS / (time.perf_counter() - start)


def compare(variant: str) -> dict:
    """Median throughput of all configurations of a network, and its ratio to the baseline."""
    speeds = {name: [] for name in CONFIGURATIONS}
    for _ in range(ROUNDS):
        for name, arguments in CONFIGURATIONS.items():
            speeds[name].append(in_new_process(measure, variant, *arguments))
    median = {name: statistics.median(values) for name, values in speeds.items()}
    return {
        "segments_per_second": {name: round(value, 1) for name, value in median.items()},
        "ratio_to_plain_float32": {name: round(value / median[BASELINE], 2) for name, value in median.items()},
    }


def main():
    networks = {variant: compare(variant) for variant in VARIANTS}
    step, augmentation = networks[VARIANTS[0]]["segments_per_second"][FASTEST], in_new_process(measure_augmentation)
    results = {
        "batch_size": BATCH_SIZE,
        "machine": f"{torch.get_num_threads()} threads, {platform.machine()}, torch {torch.__version__}",
        "networks": networks,
        "augmentation": {"recipe": RECIPE, "share_of_step": round(step / (step + augmentation), 3)},
    }
    write_results("training_step", results)


if __name__ == "__main__":
    main()
