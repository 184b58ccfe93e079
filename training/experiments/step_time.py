"""
How long a training step takes, of several networks in turns: what else the machine does falls on all of them alike.

An epoch of the same data has the same number of steps, so ratios of these times are those of the paper's epochs.
"""

import time
from functools import cache

import torch

from samplecnn_hf import SampleCNNForAudioClassification
from training.experiments.grid import Cell
from training.experiments.tasks import Task
from training.loop.metrics import loss_function
from training.loop.run import create_accelerator

WARM_UP, ROUNDS = 1, 5


@cache  # the tables of a task are made after each of its runs
def step_seconds(task: Task, cells: tuple[Cell, ...]) -> list[float]:
    """Seconds of a training step of each cell (the fastest round): SGD, the recipe's batch size and precision."""
    recipe, source = task.recipe, task.source
    accelerator = create_accelerator(recipe)
    steps = []
    for cell in cells:
        config = cell.recipe(task).create_config(source.labels, source.problem_type)
        model = SampleCNNForAudioClassification(config).train()
        optimizer = torch.optim.SGD(model.parameters(), lr=recipe.learning_rate, momentum=0.9, nesterov=True)
        segments = 0.1 * torch.randn(recipe.batch_size, config.segment_length, device=accelerator.device)
        targets = torch.eye(len(source.labels), device=accelerator.device)[
            torch.arange(recipe.batch_size) % len(source.labels)
        ]
        steps.append((*accelerator.prepare(model, optimizer), segments, targets))

    seconds = [[] for _ in cells]
    for _ in range(WARM_UP + (1 if task.quick else ROUNDS)):
        for measured, (model, optimizer, segments, targets) in zip(seconds, steps, strict=True):
            started = time.perf_counter()
            loss = loss_function(model(segments).logits.float(), targets, source.problem_type)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            loss.item()  # waits for the device
            measured.append(time.perf_counter() - started)
    return [min(measured[WARM_UP:]) for measured in seconds]
