"""Clip-level metrics."""

import torch
import torch.nn.functional as F
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score


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


def main_metric(problem_type: str) -> str:
    """The metric a run is judged by: the paper's for music, and for keywords (Table I)."""
    return "roc_auc" if problem_type == "multi_label_classification" else "accuracy"


def compute_metrics(logits: torch.Tensor, targets: torch.Tensor, problem_type: str) -> dict[str, float]:
    """
    Args:
        logits: of clips, float [clips, labels].
        targets: zeros and ones, float [clips, labels].

    Returns:
        `loss`, and `accuracy` and `f1_macro` for single-label data, `roc_auc` and `pr_auc` (means over the labels) for
        multi-label data.
    """
    metrics = {"loss": loss_function(logits, targets, problem_type).item()}
    if problem_type == "multi_label_classification":
        probabilities = logits.sigmoid().numpy()
        metrics["roc_auc"] = float(roc_auc_score(targets.numpy(), probabilities, average="macro"))
        metrics["pr_auc"] = float(average_precision_score(targets.numpy(), probabilities, average="macro"))
        return metrics
    predicted, true = logits.argmax(1), targets.argmax(1)
    metrics["accuracy"] = (predicted == true).double().mean().item()
    metrics["f1_macro"] = float(f1_score(true.numpy(), predicted.numpy(), average="macro", zero_division=0))
    return metrics
