"""The data of a training run: clips are prepared, cut into segments and batched."""

from dataclasses import dataclass

import numpy as np
from accelerate import Accelerator
from torch.utils.data import DataLoader

from samplecnn_hf import SampleCNNFeatureExtractor
from training.data.prepared import PreparedClips, prepare
from training.data.segments import TrainingSegments, evaluation_loader, to_float
from training.data.source import Source
from training.data.sources.recordings import RECORDINGS
from training.errors import DataError, RecipeError
from training.loop.augment import Augment
from training.loop.detection import spots_words, stream_extractor
from training.paper import check_paper_counts
from training.recipe import Recipe

EVALUATED = ("validation", "test", RECORDINGS)  # splits


@dataclass(frozen=True)
class TrainingData:
    """
    Prepared data of a training run.

    Attributes:
        source: the dataset.
        extractor: the network's feature extractor.
        clips: the usable clips of each split.
        segments: batches of training segments, shuffled; for Accelerate to prepare.
        evaluation: batches of whole clips of each of `EVALUATED` that there is; prepared by Accelerate.
        augment: augmentation of a batch of training segments.
    """

    source: Source
    extractor: SampleCNNFeatureExtractor
    clips: dict[str, PreparedClips]
    segments: DataLoader
    evaluation: dict[str, DataLoader]
    augment: Augment


def load_data(
    recipe: Recipe, source: Source, extractor: SampleCNNFeatureExtractor, accelerator: Accelerator
) -> TrainingData:
    """
    Prepare the clips of `source` for a run.

    Raises:
        RecipeError: options that need validation clips, which the source does not have, or segments that are too short
            to detect keywords in a stream.
        DataError: a split without usable clips, fewer segments than a batch, or not the number of clips in the paper.
    """
    if spots_words(source):
        stream_extractor(extractor)  # raises now, not after the training
    quiet = not accelerator.is_local_main_process
    if "validation" not in source.splits and (recipe.keep == "best" or recipe.schedule == "plateau"):
        raise RecipeError(f"{source.name} has no validation clips: set --keep last --schedule cosine")
    clips = prepare(source, extractor.sampling_rate, recipe.cache_dir, quiet=quiet)
    if recipe.paper_counts and not source.synthetic:
        check_paper_counts(source.name, clips)
    num_labels = len(source.labels)
    segments = TrainingSegments(clips["train"], num_labels, extractor, recipe.crop)
    if len(segments) < recipe.batch_size * accelerator.num_processes:
        raise DataError(f"{len(segments)} training segments do not fill a batch: use a smaller --batch_size")
    evaluation = {
        split: evaluation_loader(clips[split], num_labels, extractor, recipe.eval_batch_size)
        for split in EVALUATED
        if split in clips
    }
    background = None
    if recipe.noise and "background_noise" in clips:
        background = to_float(np.concatenate(list(clips["background_noise"]))).to(accelerator.device)
        if len(background) <= extractor.segment_length:
            raise DataError("the background noise must be longer than a segment: add more, or set --noise 0")
    return TrainingData(
        source=source,
        extractor=extractor,
        clips=clips,
        # A last batch of one segment would have no variance for the batch norm of the head.
        segments=DataLoader(segments, batch_size=recipe.batch_size, shuffle=True, drop_last=True),
        evaluation={split: accelerator.prepare(loader) for split, loader in evaluation.items()},
        augment=Augment(recipe, extractor.sampling_rate, background),
    )
