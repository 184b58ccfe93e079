from pathlib import Path

import evaluate
import pytest
import torch

from training.loop.metrics import compute_metrics

FOLDER = Path(__file__).parents[2] / "training" / "evaluate_metrics"


@pytest.fixture
def load(tmp_path):
    return lambda name: evaluate.load(str(FOLDER / name), cache_dir=str(tmp_path / "cache"))


def without_loss(metrics: dict) -> dict:
    return {name: value for name, value in metrics.items() if name != "loss"}


@pytest.mark.parametrize("thresholds", [None, [0.2, 0.5, 0.8, 0.4]])
def test_audio_tagging(load, generator, thresholds):
    logits = torch.randn(40, 4, generator=generator)
    targets = (torch.rand(40, 4, generator=generator) < 0.4).float()
    given = {} if thresholds is None else {"thresholds": thresholds}
    found = load("audio_tagging").compute(
        predictions=logits.double().sigmoid().numpy(), references=targets.int().numpy(), **given
    )
    expected = without_loss(compute_metrics(logits, targets, True, thresholds))
    assert found == pytest.approx(expected)
    assert ("f1_micro@tuned" in found) == (thresholds is not None)


def test_keyword_spotting(load, generator):
    logits = 2 * torch.randn(40, 4, generator=generator)
    targets = torch.eye(4)[torch.randint(4, (40,), generator=generator)]
    found = load("keyword_spotting").compute(
        predictions=logits.double().softmax(1).numpy(), references=targets.argmax(1).numpy()
    )
    assert found == pytest.approx(without_loss(compute_metrics(logits, targets, False)))


def test_batches_add_up(load):
    metric = load("keyword_spotting")
    metric.add_batch(predictions=[[0.9, 0.1], [0.4, 0.6]], references=[0, 0])
    metric.add_batch(predictions=[[0.2, 0.8]], references=[1])
    assert metric.compute()["accuracy"] == pytest.approx(2 / 3)
