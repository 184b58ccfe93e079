import math
import random

import pytest
import torch
from transformers import get_cosine_schedule_with_warmup

from training.loop.schedule import Schedule
from training.recipe import Recipe

STEPS = 7  # per epoch


def schedule(**options) -> Schedule:
    return Schedule(Recipe(data_dir="data", output_dir="run", **options), "accuracy", STEPS)


def history(losses: list[float], accuracies: list[float] | None = None) -> list[dict]:
    accuracies = accuracies or [0.5] * len(losses)
    return [
        {"epoch": epoch, "validation": {"loss": 1.0, "segment_loss": loss, "accuracy": accuracy}}
        for epoch, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True), start=1)
    ]


def optimizer(learning_rate: float = 0.01) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=learning_rate)


@pytest.mark.parametrize("warmup", [0, 0.5, 2])
def test_cosine_is_that_of_transformers(warmup):
    ours = schedule(schedule="cosine", warmup_epochs=warmup, num_epochs=4)
    stepped = optimizer()
    theirs = get_cosine_schedule_with_warmup(stepped, round(warmup * STEPS), 4 * STEPS)
    for epoch in range(4):
        for rate in ours.learning_rates(history([1.0] * epoch)):
            assert rate == stepped.param_groups[0]["lr"]
            stepped.step()
            theirs.step()
    assert ours.is_finished(history([1.0] * 4)) and not ours.is_finished(history([1.0] * 3))


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_plateau_is_that_of_torch(patience):
    """Which counts the epochs that it lets pass."""
    ours = schedule(monitor="segment_loss", plateau_patience=patience, min_learning_rate=0)
    for seed in range(30):
        stepped = optimizer()
        theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
            stepped, factor=0.2, patience=patience - 1, threshold=0.0, eps=0.0
        )
        losses = [random.Random(seed * 100 + i).randrange(8) for i in range(20)]
        for epoch, loss in enumerate(losses):
            assert ours.learning_rates(history(losses[:epoch])) == pytest.approx(
                [stepped.param_groups[0]["lr"]] * STEPS
            )
            theirs.step(loss)


def authors(losses: list[float], patience: int) -> tuple[list[int], int]:
    """The stage of each epoch and the kept epoch, by early stopping in each of five stages and their best weights."""
    stages, best, waited, kept = [], math.inf, 0, None
    stage = 0
    for epoch, loss in enumerate(losses, start=1):
        stages.append(stage)
        if loss < best:
            best, waited, kept = loss, 0, epoch
        else:
            waited += 1
            if waited >= patience:
                stage, best, waited = stage + 1, math.inf, 0
        if stage == 5:
            break
    return stages, kept


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_stages_are_those_of_the_authors(patience):
    ours = schedule(monitor="segment_loss", plateau_patience=patience, plateau_reload=True, learning_rate_decay=0.1)
    for seed in range(30):
        losses = [random.Random(seed * 100 + i).randrange(8) for i in range(60)]
        stages, kept = authors(losses, patience)
        for epoch, stage in enumerate(stages):
            before = history(losses[:epoch])
            first = STEPS * stages[:epoch].count(stage)
            assert ours.learning_rates(before) == pytest.approx(
                [0.01 * 0.2**stage / (1 + 0.1 * (first + step)) for step in range(STEPS)]
            )
            assert not ours.is_finished(before)
            if epoch:
                assert ours.ends_stage(before) == (stage > stages[epoch - 1])
        assert ours.is_finished(history(losses[: len(stages)])) == (len(stages) < len(losses))
        assert ours.kept(history(losses[: len(stages)]))["epoch"] == kept


def test_what_is_best():
    epochs = history([3, 1, 2, 4], accuracies=[0.5, 0.6, 0.7, 0.7])
    assert schedule().kept(epochs)["epoch"] == 3  # the first of equals
    epochs[3]["validation"]["loss"] = 0.9
    assert schedule().kept(epochs)["epoch"] == 4
    assert schedule(monitor="segment_loss").kept(epochs)["epoch"] == 2
    assert schedule(monitor="segment_loss", keep="last").kept(epochs)["epoch"] == 4
    assert schedule(monitor="segment_loss", schedule="cosine").kept(epochs)["epoch"] == 2
