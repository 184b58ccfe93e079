"""Several datasets as one, to train on them together."""

from dataclasses import replace

from training.data.source import Clip, Source


def add_training_clips(source: Source, *others: Source) -> Source:
    """Add the clips of all splits of other datasets with the same labels to the training split."""
    index = {label: i for i, label in enumerate(source.labels)}
    added = [
        Clip(clip.path, tuple(index[other.labels[label]] for label in clip.labels))
        for other in others
        for clips in other.splits.values()
        for clip in clips
    ]
    return replace(source, splits=source.splits | {"train": [*source.splits["train"], *added]})


def add_classes(source: Source, other: Source) -> Source:
    """Add the training clips of another dataset as auxiliary classes, `<its name>/<label>`.

    Words of another language, for example, let the lower layers of a network for synthetic voices hear microphones and
    rooms. The trained network does not have these classes (`training.loop.auxiliary`).
    """
    first = len(source.labels)
    labels = [*source.labels, *(f"{other.data_dir.name}/{label}" for label in other.labels)]
    added = [Clip(clip.path, tuple(first + label for label in clip.labels)) for clip in other.splits["train"]]
    splits = source.splits | {"train": [*source.splits["train"], *added]}
    return replace(source, labels=labels, splits=splits, num_auxiliary=source.num_auxiliary + len(other.labels))


def without_auxiliary(source: Source) -> Source:
    """The dataset without the auxiliary classes."""
    if not source.num_auxiliary:
        return source
    labels = source.labels[: -source.num_auxiliary]
    splits = {
        split: [clip for clip in clips if max(clip.labels, default=0) < len(labels)]
        for split, clips in source.splits.items()
    }
    return replace(source, labels=labels, splits=splits, num_auxiliary=0)
