"""The common form of all datasets: labeled clips, divided into splits."""

import unicodedata
from dataclasses import dataclass
from pathlib import Path

from samplecnn_hf.text import is_one_line
from training.errors import DataError

SYNTHETIC_MARK = "SYNTHETIC.txt"  # a file in the folder of each synthetic dataset


@dataclass(frozen=True)
class Clip:
    """One audio file and its labels."""

    path: Path
    labels: tuple[int, ...]  # indices into Source.labels: exactly one for a single-label task

    def content(self) -> Path | bytes:
        """Path of the audio file, or its bytes."""
        return self.path

    def stamp(self) -> str:
        """Text that changes when the audio does; the file is not read."""
        try:
            status = self.path.stat()
        except OSError:
            return "missing"
        return f"{status.st_size} {status.st_mtime_ns}"


@dataclass(frozen=True)
class Source:
    """The clips of a dataset, not yet decoded.

    Attributes:
        name: name of the dataset, a key of `training.data.SOURCES`.
        data_dir: absolute path of the folder, or id on the Hub.
        labels: label names, in the order of the network's outputs.
        problem_type: `single_label_classification` or `multi_label_classification`.
        splits: the clips of "train", "validation" and optionally "test".
        metric: selects the best epoch, a key of `training.loop.metrics.compute_metrics`.
        background_noise: recordings to mix into the training clips.
        min_seconds: clips of this duration or less are left out when they are decoded.
        num_auxiliary: number of labels, the last ones, that are only trained and then removed (`add_classes`).

    Raises:
        DataError: a split has no clips; a label is empty, is not one line of UTF-8 text, or differs from another one
            only in spaces or the encoding of accents.
    """

    name: str
    data_dir: Path | str
    labels: list[str]
    problem_type: str
    splits: dict[str, list[Clip]]
    metric: str
    background_noise: tuple[Path, ...] = ()
    min_seconds: float = 0.0
    num_auxiliary: int = 0

    def __post_init__(self):
        _check_labels(self.labels)
        for split, clips in self.splits.items():
            if not clips:
                raise DataError(f"found no {split} clips of {self.name}: give the folder with the complete dataset")

    @property
    def multi_label(self) -> bool:
        """Whether a clip may have several labels."""
        return self.problem_type == "multi_label_classification"

    @property
    def synthetic(self) -> bool:
        """Whether `training.synthetic` generated the clips."""
        return (Path(self.data_dir) / SYNTHETIC_MARK).is_file()

    @property
    def scored_split(self) -> str:
        """The split that scores are reported for: test or, without one, validation."""
        return "test" if "test" in self.splits else "validation"


def check_name(name: str, what: str) -> None:
    """Raise `DataError` for a name that is empty, is not valid UTF-8, or has line breaks or control characters."""
    if not name.strip():
        raise DataError(f"{what} is empty: give it a name")
    if not is_one_line(name):
        raise DataError(f"{what} is not one line of UTF-8 text: {ascii(name)}: rename it")


def _check_labels(labels: list[str]) -> None:
    known = {}
    for label in labels:
        check_name(label, "a label")
        normalized = unicodedata.normalize("NFC", " ".join(label.split()))
        if normalized in known:
            raise DataError(
                f"the labels {ascii(known[normalized])} and {ascii(label)} differ only in spaces or in the "
                "encoding of accents: give them the same name"
            )
        known[normalized] = label
