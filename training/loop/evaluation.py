"""Clip-level predictions and metrics: a clip's probabilities are the mean of its segments' (section IV-D)."""

from typing import NamedTuple

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader
from tqdm import tqdm

from samplecnn_hf.loading import load_classifier
from training.data import load_source
from training.data.prepared import prepare
from training.data.segments import evaluation_loader
from training.data.source import Source
from training.errors import DataError
from training.loop.hardware import prepare_cpu
from training.loop.metrics import compute_metrics, per_label_table, segment_losses


class Predictions(NamedTuple):
    """
    Predictions of a network for all clips, on the CPU.

    Attributes:
        logits, targets: float32 [clips, labels].
        segment_losses: sum of the losses of each clip's segments, float64 [clips].
        num_segments: number of segments of each clip, int64 [clips].
    """

    logits: torch.Tensor
    targets: torch.Tensor
    segment_losses: torch.Tensor
    num_segments: torch.Tensor

    @property
    def segment_loss(self) -> float:
        """Mean loss over all segments: the validation loss of the authors' code."""
        return (self.segment_losses.sum() / self.num_segments.sum()).item()


@torch.inference_mode()
def predict(model, loader: DataLoader, accelerator: Accelerator) -> Predictions:
    """Predict all clips of a loader prepared by `accelerator`."""
    model.eval()
    batches = []
    for batch in tqdm(
        loader, desc="evaluate", leave=False, disable=None if accelerator.is_local_main_process else True
    ):
        mask, targets = batch["attention_mask"], batch["labels"]
        outputs = model(batch["input_values"], attention_mask=mask)
        losses = segment_losses(outputs.segment_logits.float(), targets, model.config.multi_label) * mask
        results = (outputs.logits.float(), targets, losses.sum(1), mask.sum(1))
        batches.append([tensor.cpu() for tensor in accelerator.gather_for_metrics(results)])
    logits, targets, losses, num_segments = map(torch.cat, zip(*batches, strict=True))
    return Predictions(logits, targets, losses.double(), num_segments)


def evaluate(
    model_id: str, source_name: str, data_dir: str, split: str, batch_size: int = 8, cache_dir: str | None = None
) -> dict:
    """
    Evaluate a trained model on one split of a dataset, in float32.

    Args:
        model_id: folder or Hub id of the model.
        source_name: a key of `training.data.SOURCES`, or `folder-fold2` and the like.
        data_dir: folder of the dataset, or its id on the Hub.
        split: "train", "validation" or "test".
        batch_size: clips per batch.
        cache_dir: folder for the decoded clips. None: in the cache of `datasets`.

    Returns:
        `clips`, the metrics of `compute_metrics` (with the model's thresholds, if it has any), and `per_label`, the
        rows of `per_label_table`.

    Raises:
        DataError: the data cannot be read, or have other labels than the model.
        OSError: there is no such model, or it is damaged.
    """
    model, extractor = load_classifier(model_id)
    accelerator = Accelerator()
    if accelerator.device.type == "cpu":
        prepare_cpu(accelerator.num_processes, threads=None)
    source = load_source(source_name, data_dir)
    check_split(source, split, data_dir)
    check_labels(source, model, data_dir, model_id)
    quiet = not accelerator.is_local_main_process
    clips = prepare(source, extractor.sampling_rate, cache_dir, [split], quiet)[split]
    loader = accelerator.prepare(evaluation_loader(clips, len(source.labels), extractor, batch_size))
    logits, targets, *_ = predict(model.to(accelerator.device), loader, accelerator)
    if not logits.isfinite().all():
        raise OSError(f"the scores of {model_id} are not finite: its weights are damaged")
    multi_label, thresholds = source.multi_label, model.config.thresholds
    return {
        "clips": len(targets),
        **compute_metrics(logits, targets, multi_label, thresholds),
        "per_label": per_label_table(logits, targets, source.labels, multi_label, thresholds),
    }


def check_split(source: Source, split: str, data_dir: str):
    """Raise `DataError` for a split that the dataset does not have."""
    if split not in source.splits:
        raise DataError(f"{data_dir} has no {split!r} split; it has {', '.join(source.splits)}")


def check_labels(source: Source, model, data_dir: str, model_id: str):
    """Raise `DataError` if the labels or the problem type of the model are not those of the dataset."""
    if model.config.labels != source.labels:
        raise DataError(f"the labels of {data_dir} are not those of {model_id}, or in another order")
    if model.config.problem_type != source.problem_type:
        raise DataError(f"{data_dir} is for {source.problem_type}; {model_id} is for {model.config.problem_type}")
