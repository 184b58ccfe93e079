"""Clip-level predictions and scores: a clip's probabilities are the mean of its segments' (section IV-D)."""

from typing import NamedTuple

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader
from tqdm import tqdm

from samplecnn_hf.loading import load_classifier
from training.data import load_source
from training.data.prepared import PreparedClips, prepare
from training.data.segments import EvaluationClips, collate_clips
from training.data.source import Source
from training.errors import DataError
from training.loop.hardware import prepare_cpu
from training.loop.metrics import compute_metrics, per_label_table, segment_losses


def evaluation_loader(clips: PreparedClips, num_labels: int, extractor, batch_size: int) -> DataLoader:
    """Batches of whole clips."""
    return DataLoader(EvaluationClips(clips, num_labels, extractor), batch_size=batch_size, collate_fn=collate_clips)


class Predictions(NamedTuple):
    """Of all clips, on the CPU.

    Attributes:
        logits, targets: float32 [clips, labels].
        segment_losses: the sum of the losses of a clip's segments, float64 [clips].
        num_segments: int64 [clips].
    """

    logits: torch.Tensor
    targets: torch.Tensor
    segment_losses: torch.Tensor
    num_segments: torch.Tensor

    @property
    def segment_loss(self) -> float:
        """The mean loss of all segments, each by itself: what the authors' code calls the validation loss."""
        return (self.segment_losses.sum() / self.num_segments.sum()).item()


@torch.inference_mode()
def predict(model, loader: DataLoader, accelerator: Accelerator) -> Predictions:
    """What the network makes of all clips. `loader` is a prepared one."""
    model.eval()
    batches = []
    for batch in tqdm(loader, desc="evaluate", leave=False, disable=not accelerator.is_local_main_process):
        mask, targets = batch["attention_mask"], batch["labels"]
        outputs = model(batch["input_values"], attention_mask=mask)
        losses = segment_losses(outputs.segment_logits.float(), targets, model.config.problem_type) * mask
        of_batch = (outputs.logits.float(), targets, losses.sum(1), mask.sum(1))
        batches.append([tensor.cpu() for tensor in accelerator.gather_for_metrics(of_batch)])
    logits, targets, losses, num_segments = map(torch.cat, zip(*batches, strict=True))
    return Predictions(logits, targets, losses.double(), num_segments)


def evaluate(
    model_id: str, source_name: str, data_dir: str, split: str, batch_size: int = 8, cache_dir: str | None = None
) -> dict:
    """
    Scores of a trained model on one split of a data source, in float32.

    Returns:
        `clips`, what `training.loop.metrics.compute_metrics` returns (with the model's thresholds where it has
        them), and `per_label`, the rows of `training.loop.metrics.per_label_table`.

    Raises:
        DataError: the data cannot be read, or hold labels that the model does not know.
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
        raise OSError(f"{model_id} gives scores that are not finite: its weights are damaged")
    problem_type, thresholds = model.config.problem_type, model.config.thresholds
    return {
        "clips": len(targets),
        **compute_metrics(logits, targets, problem_type, thresholds),
        "per_label": per_label_table(logits, targets, source.labels, problem_type, thresholds),
    }


def check_split(source: Source, split: str, data_dir: str):
    """Raise `DataError` for a split that the data set does not have."""
    if split not in source.splits:
        raise DataError(f"{data_dir} has no {split!r} split; it has {', '.join(source.splits)}")


def check_labels(source: Source, model, data_dir: str, model_id: str):
    """Raise `DataError` where the model's outputs mean something else than the data set's labels."""
    if model.config.labels != source.labels:
        raise DataError(f"the labels of {data_dir} are not those of {model_id}, or in another order")
    if model.config.problem_type != source.problem_type:
        raise DataError(f"{data_dir} is for {source.problem_type}; {model_id} is for {model.config.problem_type}")
