import json

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn_metrics

from training.loop.metrics import (
    BOOTSTRAP_DRAWS,
    bootstrap_interval,
    compute_metrics,
    confusion_matrix,
    loss_function,
    per_label_table,
    tune_thresholds,
    unscored_labels,
)

SINGLE, MULTI = False, True  # whether a clip may have several labels


def logits_of(probabilities: list[list[float]]) -> torch.Tensor:
    return torch.tensor(probabilities, dtype=torch.float64).logit().float()


@pytest.fixture
def tagged(generator):
    """Logits and targets of 200 clips and 6 labels, the last two of which no clip and every clip has."""
    targets = (torch.rand(200, 6, generator=generator) < 0.2).float()
    targets[:, 4], targets[:, 5] = 0, 1
    return torch.randn(200, 6, generator=generator) + targets - 1, targets


def test_single_label():
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 0.1]])
    targets = torch.nn.functional.one_hot(torch.tensor([0, 1, 2, 2]), 3).float()
    metrics = compute_metrics(logits, targets, SINGLE)
    assert metrics["accuracy"] == 0.75
    assert metrics["accuracy@0.5"] == 0.5  # the last clip: e^0.1 / (2 + e^0.1) = 0.36
    assert metrics["f1_macro"] == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)
    assert metrics["loss"] == pytest.approx(torch.nn.functional.cross_entropy(logits, targets.argmax(1)).item())
    assert list(metrics) == ["loss", "accuracy", "accuracy@0.5", "f1_macro"]


def test_a_label_without_clips_is_not_part_of_the_mean():
    logits, targets = torch.eye(3)[[0, 1, 2]], torch.eye(3)[[0, 1, 1]]
    assert compute_metrics(logits, targets, SINGLE)["f1_macro"] == pytest.approx((1 + 2 / 3) / 2)


def test_multi_label():
    logits = logits_of([[0.9, 0.3], [0.7, 0.7], [0.2, 0.5], [0.4, 0.05]])
    targets = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [1.0, 1.0]])
    metrics = compute_metrics(logits, targets, MULTI, thresholds=[0.8, 0.6])
    # label 0: of 4 pairs (.9, .7) (.9, .2) (.4, .7) (.4, .2) three are in order; label 1: two of four
    assert metrics["roc_auc"] == pytest.approx((3 / 4 + 2 / 4) / 2)
    # precision when each true label is reached: 1/1 and 2/3; 1/1 and 2/4
    assert metrics["pr_auc"] == pytest.approx(((1 + 2 / 3) / 2 + (1 + 2 / 4) / 2) / 2)
    assert metrics["labels_scored"] == 2
    # predicted from 0.1 on: both, both, both, the first; from 0.5 on: first, both, second, none
    assert metrics["f1_samples@0.1"] == pytest.approx((2 / 3 + 2 / 3 + 0 + 2 / 3) / 4)
    assert metrics["f1_micro@0.1"] == pytest.approx(2 * 3 / (4 + 7))
    assert metrics["f1_micro@0.5"] == pytest.approx(2 * 2 / (4 + 4))
    # tuned: first, second, none (right: no label), none
    assert metrics["f1_samples@tuned"] == pytest.approx((1 + 1 + 1 + 0) / 4)
    assert metrics["f1_micro@tuned"] == pytest.approx(2 * 2 / (4 + 2))
    without = compute_metrics(logits, targets, MULTI)
    assert without == {name: value for name, value in metrics.items() if "tuned" not in name}


def test_multi_label_agrees_with_scikit_learn(tagged):
    logits, targets = tagged
    thresholds = [0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    metrics = compute_metrics(logits, targets, MULTI, thresholds)
    true, scores = targets.numpy(), logits.numpy()
    assert metrics["labels_scored"] == 4
    for name, score in [("roc_auc", "roc_auc_score"), ("pr_auc", "average_precision_score")]:
        expected = getattr(sklearn_metrics, score)(true[:, :4], scores[:, :4], average="macro")
        assert metrics[name] == pytest.approx(expected)
    targets[0] = 0  # a clip with nothing to find, and nothing predicted from 0.5 on
    logits[0] = -5
    metrics = compute_metrics(logits, targets, MULTI, thresholds)
    for name, threshold in [("0.1", 0.1), ("0.5", 0.5), ("tuned", np.array(thresholds))]:
        predicted = logits.sigmoid().numpy() >= threshold
        for average in ("samples", "micro"):
            expected = sklearn_metrics.f1_score(true, predicted, average=average, zero_division=1)
            assert metrics[f"f1_{average}@{name}"] == pytest.approx(expected)


def test_one_tag_is_no_choice_between_two():
    logits, targets = logits_of([[0.9], [0.1], [0.2], [0.3]]), torch.tensor([[1.0], [0.0], [0.0], [1.0]])
    metrics = compute_metrics(logits, targets, MULTI)
    assert metrics["f1_micro@0.5"] == pytest.approx(2 / 3)
    assert metrics["f1_samples@0.5"] == pytest.approx(3 / 4)
    assert metrics["roc_auc"] == 1


def test_probabilities_next_to_one_are_told_apart():
    logits, targets = torch.tensor([[30.0], [29.0]]), torch.tensor([[1.0], [0.0]])
    assert compute_metrics(logits, targets, MULTI)["roc_auc"] == 1
    assert compute_metrics(logits, 1 - targets, MULTI)["roc_auc"] == 0


def test_where_no_label_can_be_scored_there_is_no_ranking_metric():
    logits, targets = torch.zeros(3, 2), torch.tensor([[1.0, 0.0]]).expand(3, 2)
    metrics = compute_metrics(logits, targets, MULTI)
    assert metrics["labels_scored"] == 0
    assert "roc_auc" not in metrics and "pr_auc" not in metrics
    json.dumps(metrics, allow_nan=False)
    assert unscored_labels(targets) == [0, 1]


def test_labels_that_cannot_be_scored(tagged):
    assert unscored_labels(tagged[1]) == [4, 5]
    assert unscored_labels(tagged[1][:, :4]) == []


@pytest.mark.parametrize(
    "scores, targets, threshold",
    [
        ([0.9, 0.8, 0.4, 0.2], [1, 1, 0, 0], 0.6),  # midway between the last hit and the next clip
        ([0.2, 0.8, 0.4, 0.9], [0, 1, 0, 1], 0.6),  # in any order
        ([0.9, 0.8, 0.4, 0.2], [1, 0, 1, 0], 0.3),  # F 2/3, 1/2, 4/5, 2/3
        ([0.9, 0.8, 0.6, 0.4], [1, 0, 0, 1], 0.85),  # F 2/3 above 0.8 and below 0.4: the highest
        ([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0], 0.3),  # no threshold parts equal scores: F 2/3, -, 4/5, 2/3
        ([0.4, 0.2], [1, 1], 0.1),  # all clips: midway to 0
        ([0.9, 0.1], [0, 0], 0.5),  # no clip has it
    ],
)
def test_tuned_threshold(scores, targets, threshold):
    tuned = tune_thresholds(logits_of([[score] for score in scores]), torch.tensor(targets).float()[:, None])
    assert tuned == pytest.approx([threshold], abs=1e-6)


def test_no_other_threshold_is_better(tagged):
    logits, targets = tagged
    thresholds = tune_thresholds(logits, targets)
    assert thresholds[4] == 0.5
    probabilities = logits.double().sigmoid().numpy()
    for i in (0, 1, 2, 3, 5):
        true, scores = targets[:, i].numpy(), probabilities[:, i]
        best = max(sklearn_metrics.f1_score(true, scores >= score) for score in scores)
        assert sklearn_metrics.f1_score(true, scores >= thresholds[i]) == pytest.approx(best)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    assert tune_thresholds(logits[order], targets[order]) == thresholds


def test_thresholds_suit_the_scores_of_the_pipeline(tagged):
    logits, targets = 20 * tagged[0], tagged[1]  # many at 1, where float32 is coarse
    thresholds = tune_thresholds(logits, targets)
    assert all(0 < threshold <= 1 for threshold in thresholds)
    exact = logits.double().sigmoid() >= torch.tensor(thresholds, dtype=torch.float64)
    assert (exact == (logits.sigmoid().double() >= torch.tensor(thresholds, dtype=torch.float64))).all()


def test_table_of_tags(tagged):
    logits, targets = tagged
    labels = ["a", "b", "c", "d", "never", "always"]
    thresholds = tune_thresholds(logits, targets)
    rows = per_label_table(logits, targets, labels, MULTI, thresholds)
    metrics = compute_metrics(logits, targets, MULTI, thresholds)
    assert [row["label"] for row in rows] == labels
    for name in ("roc_auc", "pr_auc"):
        assert np.mean([row[name] for row in rows[:4]]) == pytest.approx(metrics[name])
    first = (logits[:, 0].sigmoid() >= 0.1).numpy()
    assert rows[0]["f1@0.1"] == pytest.approx(sklearn_metrics.f1_score(targets[:, 0].numpy(), first))
    assert rows[0]["f1@tuned"] >= max(rows[0]["f1@0.1"], rows[0]["f1@0.5"])
    nothing = dict.fromkeys(["roc_auc", "pr_auc", "f1@0.1", "f1@0.5", "f1@tuned"])
    assert rows[4] == {"label": "never", "positives": 0, **nothing, "threshold": 0.5}
    assert rows[5] == {"label": "always", "positives": 200, **nothing, "threshold": thresholds[5]}
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert list(per_label_table(logits, targets, labels, MULTI)[0]) == list(rows[0])[:-2]


def test_table_of_keywords():
    # cat: two clips, one of them heard as a dog; dog: one clip; no clip of a cow and of a hen, one heard as a hen
    logits, targets = torch.eye(4)[[0, 1, 1, 3]], torch.eye(4)[[0, 0, 1, 1]]
    rows = per_label_table(logits, targets, ["cat", "dog", "cow", "hen"], SINGLE)
    assert rows == [
        {"label": "cat", "clips": 2, "precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3)},
        {"label": "dog", "clips": 2, "precision": 0.5, "recall": 0.5, "f1": 0.5},
        {"label": "cow", "clips": 0, "precision": None, "recall": None, "f1": None},
        {"label": "hen", "clips": 0, "precision": 0.0, "recall": None, "f1": 0.0},
    ]
    json.dumps(rows, allow_nan=False)


def test_confusion_matrix():
    logits, targets = torch.eye(3)[[0, 1, 1, 0]], torch.eye(3)[[0, 0, 1, 0]]
    matrix = confusion_matrix(logits, targets)
    assert matrix == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    json.dumps(matrix)


def test_smoothing_spreads_a_target_over_what_it_could_have_been():
    logits, one_hot = torch.tensor([[1.0, -2.0, 0.5, 0.0]]), torch.eye(4)[:1]
    smooth = torch.tensor([[0.925, 0.025, 0.025, 0.025]])
    single = loss_function(logits, one_hot, SINGLE, smoothing=0.1)
    assert single.item() == pytest.approx(loss_function(logits, smooth, SINGLE).item())
    smooth = torch.tensor([[0.95, 0.05, 0.05, 0.05]])
    multi = loss_function(logits, one_hot, MULTI, smoothing=0.1)
    assert multi.item() == pytest.approx(loss_function(logits, smooth, MULTI).item())


def test_soft_targets_interpolate_the_loss():
    logits = torch.randn(1, 4, generator=torch.Generator().manual_seed(0))
    one, two = torch.eye(4)[:1], torch.eye(4)[1:2]
    mixed = loss_function(logits, 0.3 * one + 0.7 * two, SINGLE)
    parts = [loss_function(logits, target, SINGLE) for target in (one, two)]
    assert mixed.item() == pytest.approx((0.3 * parts[0] + 0.7 * parts[1]).item(), rel=1e-5)


def test_bootstrap_interval_holds_the_score_and_narrows_with_more_clips():
    generator = torch.Generator().manual_seed(0)
    widths = []
    for clips in (50, 800):
        targets = torch.eye(2)[torch.randint(2, (clips,), generator=generator)]
        logits = targets + torch.randn(clips, 2, generator=generator)
        low, high = bootstrap_interval(logits, targets, SINGLE, "accuracy")
        accuracy = compute_metrics(logits, targets, SINGLE)["accuracy"]
        assert low < accuracy < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_no_bootstrap_interval_of_what_cannot_be_scored():
    logits, targets = torch.zeros(4, 2), torch.zeros(4, 2)
    assert bootstrap_interval(logits, targets, MULTI, "roc_auc") is None


@pytest.mark.parametrize(
    ("multi_label", "metric"),
    [
        (MULTI, "roc_auc"),
        (MULTI, "pr_auc"),
        (MULTI, "f1_samples@0.1"),
        (SINGLE, "accuracy"),
        (SINGLE, "f1_macro"),
    ],
)
def test_bootstrap_interval_is_that_of_the_metric_itself(multi_label, metric):
    generator = torch.Generator().manual_seed(0)
    targets = (torch.rand(30, 4, generator=generator) < 0.3).float()
    if not multi_label:
        targets = torch.eye(4)[torch.randint(4, (30,), generator=generator)]
    logits = (2 * targets + torch.randn(30, 4, generator=generator)).round()  # with ties
    generator, values = torch.Generator().manual_seed(0), []
    for _ in range(BOOTSTRAP_DRAWS):
        drawn = torch.randint(30, (30,), generator=generator)
        values.append(compute_metrics(logits[drawn], targets[drawn], multi_label)[metric])
    interval = bootstrap_interval(logits, targets, multi_label, metric)
    assert interval == pytest.approx(np.percentile(values, [2.5, 97.5]).tolist())
