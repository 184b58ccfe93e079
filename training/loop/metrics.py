"""Clip-level metrics: of all labels together, of each by itself, and the thresholds that make answers of scores."""

from collections.abc import Callable
from statistics import fmean

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import rankdata
from sklearn import metrics as sklearn_metrics

BOOTSTRAP_DRAWS = 200
RANKING_METRICS = {"roc_auc": sklearn_metrics.roc_auc_score, "pr_auc": sklearn_metrics.average_precision_score}


def loss_function(
    logits: torch.Tensor, targets: torch.Tensor, problem_type: str, smoothing: float = 0.0
) -> torch.Tensor:
    """
    Cross-entropy (binary for multi-label) of logits and targets [clips, labels]; targets may be fractions.

    `smoothing` is the share of a target that is spread evenly over what it could have been.
    """
    multi_label = problem_type == "multi_label_classification"
    targets = targets * (1 - smoothing) + smoothing / (2 if multi_label else targets.shape[1])
    if multi_label:
        return F.binary_cross_entropy_with_logits(logits, targets)
    return F.cross_entropy(logits, targets)


def segment_losses(segment_logits: torch.Tensor, targets: torch.Tensor, problem_type: str) -> torch.Tensor:
    """
    The loss of each segment by itself, [clips, segments].

    Logits are [clips, segments, labels]; a segment has the targets of its clip, [clips, labels].
    """
    targets = targets.unsqueeze(1).expand_as(segment_logits)
    if problem_type == "multi_label_classification":
        return F.binary_cross_entropy_with_logits(segment_logits, targets, reduction="none").mean(2)
    return F.cross_entropy(segment_logits.transpose(1, 2), targets.transpose(1, 2), reduction="none")


def compute_metrics(
    logits: torch.Tensor, targets: torch.Tensor, problem_type: str, thresholds: list[float] | None = None
) -> dict[str, float]:
    """
    Args:
        logits: of clips, float [clips, labels].
        targets: zeros and ones, float [clips, labels].
        thresholds: one a label; for multi-label data only.

    Returns:
        `loss`, and what `multi_label_metrics` or `single_label_metrics` returns.
    """
    loss = loss_function(logits, targets, problem_type).item()
    if problem_type == "multi_label_classification":
        return {"loss": loss, **multi_label_metrics(sigmoid(logits), targets.numpy(), thresholds)}
    return {"loss": loss, **single_label_metrics(logits.double().softmax(1).numpy(), targets.argmax(1).numpy())}


def multi_label_metrics(
    probabilities: np.ndarray, targets: np.ndarray, thresholds: list[float] | None = None
) -> dict[str, float]:
    """
    Args:
        probabilities: float [clips, labels].
        targets: zeros and ones [clips, labels].
        thresholds: one a label, for `@tuned`.

    Returns:
        `roc_auc` and `pr_auc` (average precision): means over the labels that some clips have and others do not;
        left out where there is no such label. `labels_scored`: how many there are.
        `f1_samples@...`, the mean of the clips' F-scores (instance-based: the paper's for scenes, with 0.1), and
        `f1_micro@...`, the F-score of all decisions together. A label counts as predicted from the threshold on. A
        clip with neither true nor predicted labels scores 1 (by scikit-learn's default it would be 0).
    """
    metrics = {}
    scored = int(_can_be_scored(targets).sum())
    if scored:
        for name, score in RANKING_METRICS.items():
            metrics[name] = fmean(value for value in _by_label(score, targets, probabilities) if value is not None)
    metrics["labels_scored"] = scored
    decisions = _decisions(probabilities, thresholds)
    for name, predicted in decisions.items():
        metrics[f"f1_samples@{name}"] = float(f1_score(targets, predicted, axis=1).mean())
    for name, predicted in decisions.items():
        metrics[f"f1_micro@{name}"] = float(f1_score(targets, predicted))
    return metrics


def single_label_metrics(probabilities: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """
    Args:
        probabilities: float [clips, labels], whose rows add up to 1.
        true: the right label of each clip, int [clips].

    Returns:
        `accuracy`; `accuracy@0.5`, for which the right label must have more than half of the probability (the authors'
        code); `f1_macro`, the mean F-score of the labels that have clips.
    """
    predicted = probabilities.argmax(1)
    return {
        "accuracy": float((predicted == true).mean()),
        "accuracy@0.5": float((probabilities[np.arange(len(true)), true] > 0.5).mean()),
        "f1_macro": float(
            sklearn_metrics.f1_score(true, predicted, labels=np.unique(true), average="macro", zero_division=0)
        ),
    }


def bootstrap_interval(
    logits: torch.Tensor,
    targets: torch.Tensor,
    problem_type: str,
    metric: str,
    thresholds: list[float] | None = None,
) -> list[float] | None:
    """
    How far `metric` depends on which clips were scored: its 2.5th and 97.5th percentile over clips drawn with
    replacement. It says nothing about another training run. None where the clips do not allow the metric.
    """
    score = _single_score(problem_type, metric, thresholds)
    generator = torch.Generator().manual_seed(0)
    values = []
    for _ in range(BOOTSTRAP_DRAWS):
        drawn = torch.randint(len(logits), (len(logits),), generator=generator)
        value = score(logits[drawn], targets[drawn])
        if value is not None:
            values.append(value)
    return np.percentile(values, [2.5, 97.5]).tolist() if values else None


def _single_score(problem_type: str, metric: str, thresholds: list[float] | None) -> Callable:
    """`metric` of logits and targets, None where it cannot be had; `compute_metrics` does much more a draw."""
    if metric == "roc_auc":
        return lambda logits, targets: _mean_roc_auc(targets.numpy(), sigmoid(logits))
    if metric == "accuracy":
        return lambda logits, targets: (logits.argmax(1) == targets.argmax(1)).double().mean().item()
    if metric.startswith("f1_samples@"):
        return lambda logits, targets: float(
            f1_score(targets.numpy(), _decisions(sigmoid(logits), thresholds)[metric.partition("@")[2]], axis=1).mean()
        )
    return lambda logits, targets: compute_metrics(logits, targets, problem_type, thresholds).get(metric)


def _mean_roc_auc(targets: np.ndarray, probabilities: np.ndarray) -> float | None:
    """What `multi_label_metrics` calls roc_auc, from the ranks of all labels at once."""
    scored = _can_be_scored(targets)
    if not scored.any():
        return None
    targets, ranks = targets[:, scored], rankdata(probabilities[:, scored], axis=0)
    positives = targets.sum(0, dtype=float)
    above = (ranks * targets).sum(0) - positives * (positives + 1) / 2
    return float((above / (positives * (len(targets) - positives))).mean())


def unscored_labels(targets: torch.Tensor) -> list[int]:
    """Labels of targets [clips, labels] that no clip has, or every clip: there is nothing to rank."""
    return np.flatnonzero(~_can_be_scored(targets.numpy())).tolist()


def tune_thresholds(logits: torch.Tensor, targets: torch.Tensor) -> list[float]:
    """
    For each label the probability from which on to predict it, such that its F-score on these clips is highest.

    It lies midway between two clips' probabilities; of several that are as good, it is the highest. A label that no
    clip has gets 0.5. Logits and targets are [clips, labels].
    """
    return [_best_threshold(p, t) for p, t in zip(sigmoid(logits).T, targets.numpy().T, strict=True)]


def _best_threshold(probabilities: np.ndarray, targets: np.ndarray) -> float:
    order = np.argsort(-probabilities, kind="stable")
    scores, hits = probabilities[order], np.cumsum(targets[order])
    f1 = 2 * hits / (np.arange(1, len(scores) + 1) + targets.sum())  # with the first 1, 2, ... clips predicted
    next_scores = np.append(scores[1:], 0.0)
    f1[scores == next_scores] = 0.0  # no threshold lies between equal scores
    best = f1.argmax()
    return float((scores[best] + next_scores[best]) / 2) if f1[best] > 0 else 0.5


def per_label_table(
    logits: torch.Tensor,
    targets: torch.Tensor,
    labels: list[str],
    problem_type: str,
    thresholds: list[float] | None = None,
) -> list[dict]:
    """
    A row a label, of plain Python values; None is what cannot be computed.

    Multi-label: `label`, `positives`, `roc_auc`, `pr_auc`, `f1@0.1`, `f1@0.5`, and with thresholds `f1@tuned` and
    `threshold`. Single-label: `label`, `clips`, `precision`, `recall`, `f1`.
    """
    if problem_type == "multi_label_classification":
        columns = _multi_label_columns(sigmoid(logits), targets.numpy(), thresholds)
    else:
        columns = _single_label_columns(logits, targets)
    return [dict(zip(["label", *columns], row, strict=True)) for row in zip(labels, *columns.values(), strict=True)]


def _multi_label_columns(probabilities: np.ndarray, targets: np.ndarray, thresholds: list[float] | None) -> dict:
    columns = {"positives": targets.sum(0).astype(int).tolist()}
    for name, score in RANKING_METRICS.items():
        columns[name] = _by_label(score, targets, probabilities)
    for name, predicted in _decisions(probabilities, thresholds).items():
        columns[f"f1@{name}"] = _by_label(f1_score, targets, predicted)
    if thresholds is not None:
        columns["threshold"] = thresholds
    return columns


def _single_label_columns(logits: torch.Tensor, targets: torch.Tensor) -> dict:
    precision, recall, f1, clips = sklearn_metrics.precision_recall_fscore_support(
        targets.argmax(1).numpy(), logits.argmax(1).numpy(), labels=range(logits.shape[1]), zero_division=np.nan
    )
    columns = {"clips": clips.tolist()}
    for name, values in (("precision", precision), ("recall", recall), ("f1", f1)):
        columns[name] = [None if np.isnan(value) else float(value) for value in values]
    return columns


def confusion_matrix(logits: torch.Tensor, targets: torch.Tensor) -> list[list[int]]:
    """Numbers of clips, a row a true label and a column a predicted one; logits and targets are [clips, labels]."""
    true, predicted = targets.argmax(1).numpy(), logits.argmax(1).numpy()
    return sklearn_metrics.confusion_matrix(true, predicted, labels=range(logits.shape[1])).tolist()


def sigmoid(logits: torch.Tensor) -> np.ndarray:
    """In float64, where probabilities next to 1 are still told apart."""
    return logits.double().sigmoid().numpy()


def f1_score(targets: np.ndarray, predicted: np.ndarray, axis: int | None = None) -> np.ndarray:
    """
    2 hits / (true + predicted), over `axis`; 1 where there is nothing to find and nothing is predicted.

    scikit-learn's averages would take a single label for a choice between two.
    """
    hits = (targets * predicted).sum(axis)
    total = targets.sum(axis) + predicted.sum(axis)
    return np.where(total > 0, 2 * hits / np.maximum(total, 1), 1.0)


def _decisions(probabilities: np.ndarray, thresholds: list[float] | None) -> dict[str, np.ndarray]:
    """What is predicted with the fixed thresholds, and with the tuned ones: bool [clips, labels]."""
    decisions = {"0.1": probabilities >= 0.1, "0.5": probabilities >= 0.5}
    if thresholds is not None:
        decisions["tuned"] = probabilities >= np.asarray(thresholds)
    return decisions


def _can_be_scored(targets: np.ndarray) -> np.ndarray:
    """Labels that some clips have and others do not: bool [labels]."""
    return (targets.min(0) == 0) & (targets.max(0) == 1)


def _by_label(score: Callable, targets: np.ndarray, predictions: np.ndarray) -> list[float | None]:
    """`score(targets, predictions)` of each label, None for one that cannot be scored."""
    labels = zip(_can_be_scored(targets), targets.T, predictions.T, strict=True)
    return [float(score(true, predicted)) if scored else None for scored, true, predicted in labels]
