"""What every data set looks like to the training: labelled clips, already divided into splits."""

from dataclasses import dataclass
from pathlib import Path

from training.command import UserError


class DataError(UserError):
    """What is wrong with the user's data and what to do, in one line."""


@dataclass(frozen=True)
class Clip:
    """One audio file and what is heard in it."""

    path: Path
    labels: tuple[int, ...]  # indices into Source.labels: exactly one for a single-label task

    def content(self) -> Path | bytes:
        """The audio file, or what it holds."""
        return self.path

    def stamp(self) -> str:
        """Changes when the audio does; it costs no look into the file."""
        try:
            status = self.path.stat()
        except OSError:
            return "missing"
        return f"{status.st_size} {status.st_mtime_ns}"


@dataclass(frozen=True)
class Source:
    """A data set on disk; nothing is decoded yet.

    Attributes:
        name: of the data set, a key of `training.data.SOURCES`.
        labels: names, in the order of the network's outputs.
        problem_type: `single_label_classification` or `multi_label_classification`.
        splits: clips of "train", "validation" and, where there is one, "test".
        metric: what a run is judged by, a key of `training.metrics.compute_metrics`.
        background_noise: recordings to mix into the training clips.
        min_seconds: a clip that is not longer does not belong to the data set; this is known once it is decoded.

    Raises:
        DataError: a split without clips.
    """

    name: str
    labels: list[str]
    problem_type: str
    splits: dict[str, list[Clip]]
    metric: str
    background_noise: tuple[Path, ...] = ()
    min_seconds: float = 0.0

    def __post_init__(self):
        for split, clips in self.splits.items():
            if not clips:
                raise DataError(f"found no {split} clips of {self.name}: give the folder with the whole data set")
