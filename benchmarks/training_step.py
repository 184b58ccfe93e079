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
from benchmarks.inference import VARIANT as LIMITED_VARIANT
from benchmarks.inference import convolution_gflop, convolution_limit
from benchmarks.plain import PlainSampleCNN
from samplecnn_hf import SampleCNNConfig, SampleCNNForAudioClassification, create_config
from training.loop.augment import Augment
from training.loop.hardware import prepare_cpu
from training.recipe import Recipe

VARIANTS, BATCH_SIZE, WARMUP_STEPS, STEPS, ROUNDS = ("se-8", "se-9", "se-8-strided4"), 23, 2, 6, 3
RECIPE = "training/recipes/speech_commands/modern.yaml"  # its network and augmentation
BASELINE, FASTEST = "plain Conv1d, float32", "ours, bf16, freed memory kept (training/train.py)"
# Arguments of `measure`: model class, bfloat16 autocast, keep freed memory.
CONFIGURATIONS = {
    BASELINE: (PlainSampleCNN, False, False),
    "plain Conv1d, bf16": (PlainSampleCNN, True, False),
    "ours, float32": (SampleCNNForAudioClassification, False, False),
    "ours, bf16": (SampleCNNForAudioClassification, True, False),
    FASTEST: (SampleCNNForAudioClassification, True, True),
}


def measure(config: SampleCNNConfig, batch_size: int, model_class: type, bf16: bool, keep_memory: bool) -> float:
    """Segments per second of training steps."""
    if keep_memory:
        prepare_cpu(num_processes=1, threads=None)
    torch.manual_seed(0)
    model = model_class(config).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True, fused=True)
    segments = 0.1 * torch.randn(batch_size, config.segment_length)
    labels = torch.randint(config.num_labels, (batch_size,))

    def step():
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            output = model(segments)
        logits = output if torch.is_tensor(output) else output.logits
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    return batch_size / seconds_per_call(step)


def measure_augmentation(recipe: Recipe, config: SampleCNNConfig) -> float:
    """Segments per second of all augmentations of the recipe."""
    prepare_cpu(num_processes=1, threads=None)
    augment = Augment(recipe, config.sampling_rate)
    segments = 0.1 * torch.randn(recipe.batch_size, 1, config.segment_length)
    labels = torch.eye(recipe.batch_size, config.num_labels)
    return recipe.batch_size / seconds_per_call(lambda: augment(segments, labels))


def seconds_per_call(function) -> float:
    """Mean over `STEPS` calls after the warm-up."""
    for _ in range(WARMUP_STEPS):
        function()
    start = time.perf_counter()
    for _ in range(STEPS):
        function()
    return (time.perf_counter() - start) / STEPS


def compare(variant: str) -> dict:
    """Median throughput of all configurations of a network, and its ratio to the baseline."""
    config = create_config(variant, num_labels=35)
    speeds = {name: [] for name in CONFIGURATIONS}
    for _ in range(ROUNDS):
        for name, arguments in CONFIGURATIONS.items():
            speeds[name].append(in_new_process(measure, config, BATCH_SIZE, *arguments))
    median = {name: statistics.median(values) for name, values in speeds.items()}
    return {
        "segments_per_second": {name: round(value, 1) for name, value in median.items()},
        "ratio_to_plain_float32": {name: round(value / median[BASELINE], 2) for name, value in median.items()},
    }


def training_limit() -> float:
    """Segments of `LIMITED_VARIANT` per second that the fastest convolution allows, three forward passes per step."""
    return in_new_process(convolution_limit, "bf16") / convolution_gflop() / 3


def compare_augmentation() -> dict:
    """Time of the recipe's augmentation as a share of its training step, augmentation included."""
    recipe = Recipe.load(RECIPE, data_dir="data", output_dir="runs")
    config = create_config(recipe.variant, num_labels=35, **recipe.model_kwargs)
    shares = []
    for _ in range(ROUNDS):
        step = 1 / in_new_process(measure, config, recipe.batch_size, *CONFIGURATIONS[FASTEST])
        augmentation = 1 / in_new_process(measure_augmentation, recipe, config)
        shares.append(augmentation / (step + augmentation))
    return {"recipe": RECIPE, "share_of_step": round(statistics.median(shares), 3)}


def main():
    results = {
        "batch_size": BATCH_SIZE,
        "machine": f"{torch.get_num_threads()} threads, {platform.machine()}, torch {torch.__version__}",
        "networks": {variant: compare(variant) for variant in VARIANTS},
        "convolution_limit": {"network": LIMITED_VARIANT, "segments_per_second": round(training_limit(), 1)},
        "augmentation": compare_augmentation(),
    }
    write_results("training_step", results)


if __name__ == "__main__":
    main()
