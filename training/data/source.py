"""What every data set looks like to the training: labelled files, already divided into splits."""

from dataclasses import dataclass
from pathlib import Path


class DataError(ValueError):
    """What is wrong with the user's data and what to do, in one line."""


@dataclass(frozen=True)
class Clip:
    """One audio file and what is heard in it."""

    path: Path
    labels: tuple[int, ...]  # indices into Source.labels: exactly one for a single-label task


@dataclass(frozen=True)
class Source:
    """A data set on disk; nothing is decoded yet.

    Raises:
        DataError: a split without clips.
    """

    name: str
    labels: list[str]
    problem_type: str  # "single_label_classification" | "multi_label_classification"
    splits: dict[str, list[Clip]]  # "train", "validation" and, where there is one, "test"
    background_noise: tuple[Path, ...] = ()

    def __post_init__(self):
        for split, clips in self.splits.items():
            if not clips:
                raise DataError(f"found no {split} clips of {self.name}: give the folder with the whole data set")
