"""Auxiliary classes of recordings, which are trained together with synthetic classes and then removed."""

import torch
from accelerate import Accelerator
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader, Subset

from samplecnn_hf import SampleCNNFeatureExtractor, SampleCNNForAudioClassification
from training.data.segments import TrainingSegments
from training.data.sources.combined import without_auxiliary
from training.loop.data import TrainingData, load_data
from training.loop.training_run import TrainedModel
from training.recipe import Recipe

STATISTICS_SEGMENTS, STATISTICS_BATCH = 960, 32


def remove_auxiliary(
    recipe: Recipe, trained: TrainedModel, data: TrainingData, accelerator: Accelerator
) -> TrainingData:
    """
    Remove the auxiliary classes from a trained network, and return the data without them.

    The statistics of the batch norms are those of the auxiliary recordings afterwards: the network is for recordings,
    and these are the only ones it knows (benchmarks/spoken_words.py measures the effect).
    """
    source, segments = without_auxiliary(data.source), data.segments.dataset
    is_auxiliary = segments.targets[:, len(source.labels) :].any(1)
    recorded = [i for i, (clip, _) in enumerate(segments.index) if is_auxiliary[clip]]
    reestimate_statistics(trained.model, data.extractor, Subset(segments, recorded))
    keep_labels(trained.model, source.labels)
    return load_data(recipe, source, data.extractor, accelerator)


def reestimate_statistics(
    model: SampleCNNForAudioClassification,
    extractor: SampleCNNFeatureExtractor,
    segments: TrainingSegments | Subset,
):
    """Replace the batch norm statistics by those of some of the segments, without augmentation and labels."""
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(segments), generator=generator)[:STATISTICS_SEGMENTS].tolist()
    batch_size = min(STATISTICS_BATCH, len(chosen))  # without a batch, `update_bn` would leave no statistics at all
    loader = DataLoader(Subset(segments, chosen), batch_size=batch_size, drop_last=True)
    inputs = (extractor.normalize(batch["input_values"]).to(model.device) for batch in loader)
    update_bn(inputs, model)


@torch.no_grad()
def keep_labels(model: SampleCNNForAudioClassification, labels: list[str]):
    """Remove the outputs of all but the first labels."""
    output = model.classifier.out_proj
    output.weight = torch.nn.Parameter(output.weight[: len(labels)].clone())
    output.bias = torch.nn.Parameter(output.bias[: len(labels)].clone())
    output.out_features = model.num_labels = len(labels)
    model.config.id2label = dict(enumerate(labels))
    model.config.label2id = {label: i for i, label in enumerate(labels)}
