import pytest
import torch

from training.metrics import compute_metrics, loss_function


def test_single_label():
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 1.0]])
    targets = torch.nn.functional.one_hot(torch.tensor([0, 1, 2, 2]), 3).float()
    metrics = compute_metrics(logits, targets, "single_label_classification")
    assert metrics["accuracy"] == 0.75
    assert metrics["f1_macro"] == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)
    assert metrics["loss"] == pytest.approx(torch.nn.functional.cross_entropy(logits, targets.argmax(1)).item())


def test_multi_label():
    logits = torch.tensor([[2.0, -1.0], [1.0, 1.0], [-1.0, 0.0], [0.0, -2.0]])
    targets = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [1.0, 1.0]])
    metrics = compute_metrics(logits, targets, "multi_label_classification")
    # label 0: of 4 pairs (2.0, 1.0) (2.0, -1.0) (0.0, 1.0) (0.0, -1.0) three are in order; label 1: two of four
    assert metrics["roc_auc"] == pytest.approx((3 / 4 + 2 / 4) / 2)
    assert set(metrics) == {"loss", "roc_auc", "pr_auc"}


def test_smoothing_spreads_a_target_over_what_it_could_have_been():
    logits, one_hot = torch.tensor([[1.0, -2.0, 0.5, 0.0]]), torch.eye(4)[:1]
    smooth = torch.tensor([[0.925, 0.025, 0.025, 0.025]])
    single = loss_function(logits, one_hot, "single_label_classification", smoothing=0.1)
    assert single.item() == pytest.approx(loss_function(logits, smooth, "single_label_classification").item())
    smooth = torch.tensor([[0.95, 0.05, 0.05, 0.05]])
    multi = loss_function(logits, one_hot, "multi_label_classification", smoothing=0.1)
    assert multi.item() == pytest.approx(loss_function(logits, smooth, "multi_label_classification").item())


def test_soft_targets_interpolate_the_loss():
    logits = torch.randn(1, 4, generator=torch.Generator().manual_seed(0))
    one, two = torch.eye(4)[:1], torch.eye(4)[1:2]
    mixed = loss_function(logits, 0.3 * one + 0.7 * two, "single_label_classification")
    parts = [loss_function(logits, target, "single_label_classification") for target in (one, two)]
    assert mixed.item() == pytest.approx((0.3 * parts[0] + 0.7 * parts[1]).item(), rel=1e-5)
