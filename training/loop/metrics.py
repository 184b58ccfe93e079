"""Clip-level metrics: over all labels, per label, and tuned decision thresholds."""

from collections.abc import Callable
from functools import partial
from statistics import fmean

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import rankdata
from sklearn import metrics as sklearn_metrics

BOOTSTRAP_DRAWS = 200
Score = Callable[[np.ndarray, np.ndarray], float | None]  # of probabilities and targets


def loss_function(
    logits: torch.Tensor, targets: torch.Tensor, multi_label: bool, smoothing: float = 0.0
) -> torch.Tensor:
    """
    Cross-entropy (binary for multi-label data) of logits and targets [clips, labels]; targets may be fractions.

    `smoothing` is the share of a target that is spread evenly over its possible values.
    """
    targets = targets * (1 - smoothing) + smoothing / (2 if multi_label else targets.shape[1])
    if multi_label:
        return F.binary_cross_entropy_with_logits(logits, targets)
    return F.cross_entropy(logits, targets)


def segment_losses(segment_logits: torch.Tensor, targets: torch.Tensor, multi_label: bool) -> torch.Tensor:
    """Loss of each segment: logits [clips, segments, labels] and targets [clips, labels] -> [clips, segments]."""
    targets = targets.unsqueeze(1).expand_as(segment_logits)
    if multi_label:
        return F.binary_cross_entropy_with_logits(segment_logits, targets, reduction="none").mean(2)
    return F.cross_entropy(segment_logits.transpose(1, 2), targets.transpose(1, 2), reduction="none")


def compute_metrics(
    logits: torch.Tensor, targets: torch.Tensor, multi_label: bool, thresholds: list[float] | None = None
) -> dict[str, float]:
    """
    Loss and metrics of clips.

    Args:
        logits: float [clips, labels].
        targets: zeros and ones, float [clips, labels].
        multi_label: whether a clip may have several labels.
        thresholds: per-label decision thresholds, for multi-label data.

    Returns:
        `loss`, and the result of `multi_label_metrics` or `single_label_metrics`.
    """
    loss = loss_function(logits, targets, multi_label).item()
    probabilities, true = _to_numpy(logits, targets, multi_label)
    if multi_label:
        return {"loss": loss, **multi_label_metrics(probabilities, true, thresholds)}
    return {"loss": loss, **single_label_metrics(probabilities, true)}


def _to_numpy(logits: torch.Tensor, targets: torch.Tensor, multi_label: bool) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and the targets as `multi_label_metrics` or `single_label_metrics` takes them."""
    if multi_label:
        return sigmoid(logits), targets.numpy()
    return logits.double().softmax(1).numpy(), targets.argmax(1).numpy()


def multi_label_metrics(
    probabilities: np.ndarray, targets: np.ndarray, thresholds: list[float] | None = None
) -> dict[str, float]:
    """
    Metrics of clips with any number of labels.

    Args:
        probabilities: float [clips, labels].
        targets: zeros and ones [clips, labels].
        thresholds: per-label decision thresholds, for `@tuned`.

    Returns:
        `roc_auc` and `pr_auc` (average precision): means over the labels with both positive and negative clips;
        absent if there is no such label. `labels_scored`: the number of these labels.
        `f1_samples@...`, the mean F-score of the clips (instance-based: the paper's for scenes, with 0.1), and
        `f1_micro@...`, the F-score of all decisions together. A label is predicted if its probability is at least the
        threshold. A clip with neither true nor predicted labels scores 1 (by scikit-learn's default it would be 0).
    """
    scores = {name: score(probabilities, targets) for name, score in multi_label_scores(thresholds).items()}
    return {name: score for name, score in scores.items() if score is not None}


def multi_label_scores(thresholds: list[float] | None = None) -> dict[str, Score]:
    """The functions that compute `multi_label_metrics`."""

    def mean(ranking_metric, probabilities, targets):
        scored = _can_be_scored(targets)
        return fmean(ranking_metric(targets[:, scored], probabilities[:, scored])) if scored.any() else None

    def f1(axis, threshold, probabilities, targets):
        return float(f1_score(targets, probabilities >= threshold, axis).mean())

    scores = {name: partial(mean, ranking_metric) for name, ranking_metric in RANKING_METRICS.items()}
    scores["labels_scored"] = lambda probabilities, targets: int(_can_be_scored(targets).sum())
    for average, axis in (("samples", 1), ("micro", None)):
        for name, threshold in _decision_thresholds(thresholds).items():
            scores[f"f1_{average}@{name}"] = partial(f1, axis, threshold)
    return scores


def single_label_metrics(probabilities: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """
    Metrics of clips with one label each.

    Args:
        probabilities: float [clips, labels]; rows sum to 1.
        true: index of the label of each clip, int [clips].

    Returns:
        `accuracy`; `accuracy@0.5`, which also requires a probability above 0.5 (the authors' code); `f1_macro`, the
        mean F-score of the labels that have clips.
    """
    return {name: float(score(probabilities, true)) for name, score in SINGLE_LABEL_SCORES.items()}


SINGLE_LABEL_SCORES: dict[str, Score] = {
    "accuracy": lambda probabilities, true: (probabilities.argmax(1) == true).mean(),
    "accuracy@0.5": lambda probabilities, true: (probabilities[np.arange(len(true)), true] > 0.5).mean(),
    "f1_macro": lambda probabilities, true: sklearn_metrics.f1_score(
        true, probabilities.argmax(1), labels=np.unique(true), average="macro", zero_division=0
    ),
}


def bootstrap_interval(
    logits: torch.Tensor, targets: torch.Tensor, multi_label: bool, metric: str
) -> list[float] | None:
    """
    95 % bootstrap interval of `metric` over the clips, which does not cover the variation between training runs.

    None: the metric cannot be computed on these clips.
    """
    score = (multi_label_scores() if multi_label else SINGLE_LABEL_SCORES)[metric]
    probabilities, true = _to_numpy(logits, targets, multi_label)
    generator = torch.Generator().manual_seed(0)
    draws = [torch.randint(len(true), (len(true),), generator=generator).numpy() for _ in range(BOOTSTRAP_DRAWS)]
    values = [value for drawn in draws if (value := score(probabilities[drawn], true[drawn])) is not None]
    return np.percentile(values, [2.5, 97.5]).tolist() if values else None


def roc_auc(targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of each label, from the ranks of the clips: [clips, labels] -> float [labels]."""
    ranks = rankdata(probabilities, axis=0)
    positives = targets.sum(0, dtype=float)
    above = (ranks * targets).sum(0) - positives * (positives + 1) / 2
    return above / (positives * (len(targets) - positives))


def average_precision(targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Average precision of each label: [clips, labels] -> float [labels]."""
    return np.array(list(map(sklearn_metrics.average_precision_score, targets.T, probabilities.T)))


# Both need labels that can be scored.
RANKING_METRICS = {"roc_auc": roc_auc, "pr_auc": average_precision}


def _can_be_scored(targets: np.ndarray) -> np.ndarray:
    """Labels with both positive and negative clips: zeros and ones [clips, labels] -> bool [labels]."""
    return (targets.min(0) == 0) & (targets.max(0) == 1)


def unscored_labels(targets: torch.Tensor) -> list[int]:
    """Labels without positive or without negative clips, which cannot be ranked; targets are [clips, labels]."""
    return np.flatnonzero(~_can_be_scored(targets.numpy())).tolist()


def tune_thresholds(logits: torch.Tensor, targets: torch.Tensor) -> list[float]:
    """
    Per-label decision thresholds with the highest F-score on these clips.

    A threshold lies midway between the probabilities of two clips; of equally good ones it is the highest. A label
    without clips gets 0.5. Logits and targets are [clips, labels].
    """
    return [_best_threshold(p, t) for p, t in zip(sigmoid(logits).T, targets.numpy().T, strict=True)]


def _best_threshold(probabilities: np.ndarray, targets: np.ndarray) -> float:
    order = np.argsort(-probabilities, kind="stable")
    scores, hits = probabilities[order], np.cumsum(targets[order])
    f1 = 2 * hits / (np.arange(1, len(scores) + 1) + targets.sum())  # with the first 1, 2, ... clips predicted
    next_scores = np.append(scores[1:], 0.0)
    f1[scores == next_scores] = 0.0  # no threshold separates equal scores
    best = f1.argmax()
    return float((scores[best] + next_scores[best]) / 2) if f1[best] > 0 else 0.5


def per_label_table(
    logits: torch.Tensor,
    targets: torch.Tensor,
    labels: list[str],
    multi_label: bool,
    thresholds: list[float] | None = None,
) -> list[dict]:
    """
    One row per label, of plain Python values. None: cannot be computed.

    Multi-label: `label`, `positives`, `roc_auc`, `pr_auc`, `f1@0.1`, `f1@0.5`, and with thresholds `f1@tuned` and
    `threshold`. Single-label: `label`, `clips`, `precision`, `recall`, `f1`.
    """
    if multi_label:
        columns = _multi_label_columns(sigmoid(logits), targets.numpy(), thresholds)
    else:
        columns = _single_label_columns(logits, targets)
    return [dict(zip(["label", *columns], row, strict=True)) for row in zip(labels, *columns.values(), strict=True)]


def _multi_label_columns(probabilities: np.ndarray, targets: np.ndarray, thresholds: list[float] | None) -> dict:
    scored = _can_be_scored(targets)
    scores = {name: score(targets[:, scored], probabilities[:, scored]) for name, score in RANKING_METRICS.items()}
    for name, threshold in _decision_thresholds(thresholds).items():
        scores[f"f1@{name}"] = f1_score(targets, probabilities >= threshold, axis=0)[scored]
    columns = {"positives": targets.sum(0).astype(int).tolist()}
    for name, values in scores.items():
        column = np.full(len(scored), np.nan)
        column[scored] = values
        columns[name] = _nan_to_none(column)
    if thresholds is not None:
        columns["threshold"] = thresholds
    return columns


def _single_label_columns(logits: torch.Tensor, targets: torch.Tensor) -> dict:
    precision, recall, f1, clips = sklearn_metrics.precision_recall_fscore_support(
        targets.argmax(1).numpy(), logits.argmax(1).numpy(), labels=range(logits.shape[1]), zero_division=np.nan
    )
    scores = {"precision": precision, "recall": recall, "f1": f1}
    return {"clips": clips.tolist(), **{name: _nan_to_none(values) for name, values in scores.items()}}


def _nan_to_none(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]


def confusion_matrix(logits: torch.Tensor, targets: torch.Tensor) -> list[list[int]]:
    """Number of clips per true label (row) and predicted label (column); logits and targets are [clips, labels]."""
    true, predicted = targets.argmax(1).numpy(), logits.argmax(1).numpy()
    return sklearn_metrics.confusion_matrix(true, predicted, labels=range(logits.shape[1])).tolist()


def sigmoid(logits: torch.Tensor) -> np.ndarray:
    """Probabilities in float64, which distinguishes values close to 1."""
    return logits.double().sigmoid().numpy()


def f1_score(targets: np.ndarray, predicted: np.ndarray, axis: int | None = None) -> np.ndarray:
    """
    2 hits / (true + predicted) over `axis`; 1 where both are 0.

    scikit-learn's averages treat a single label as a choice between two classes.
    """
    hits = (targets * predicted).sum(axis)
    total = targets.sum(axis) + predicted.sum(axis)
    return np.where(total > 0, 2 * hits / np.maximum(total, 1), 1.0)


def _decision_thresholds(tuned: list[float] | None) -> dict[str, float | list[float]]:
    return {"0.1": 0.1, "0.5": 0.5} | ({"tuned": tuned} if tuned is not None else {})
