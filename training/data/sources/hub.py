"""
Any dataset on the Hub, or a folder of Parquet files, with a column of audio and a column of labels.

    --source hub --data_dir ORG/NAME
    --source hub --data_dir ORG/NAME:CONFIG
    --source hub --data_dir ORG/NAME:CONFIG:LABEL_COLUMN    if there are several columns of classes
    --source hub --data_dir FOLDER                          train/*.parquet, validation/*.parquet, test/*.parquet
    --source hub --data_dir FOLDER::LABEL_COLUMN

A label is a class (`ClassLabel` or text), or a list of classes for a multi-label task. Without a validation split, a
tenth of the training split is held out, drawn with a fixed seed.

The Hub's copy of Speech Commands can be read, too. Its splits and labels differ from the paper's (`_silence_`, a test
split of the 12-class task), so scores are not comparable:

    hf download google/speech_commands --repo-type dataset --revision refs/convert/parquet --include "v0.02/*" \\
        --local-dir data/speech_commands_hub
    ... --source hub --data_dir data/speech_commands_hub/v0.02
"""

from dataclasses import dataclass
from pathlib import Path

from datasets import Audio, ClassLabel, Dataset, DatasetDict, DownloadConfig, load_dataset

from training.data.source import Clip, Source
from training.data.sources.folder import SPLIT_NAMES
from training.data.tables import raise_if_any
from training.errors import DataError

VALIDATION_FRACTION = 0.1
VALIDATION_SEED = 0


@dataclass(frozen=True)
class HubClip(Clip):
    """A row of a dataset; `path` is its name in reports."""

    dataset: Dataset  # with one column: the encoded audio
    row: int

    def content(self) -> Path | bytes:
        (audio,) = self.dataset[self.row].values()
        if audio is None:
            raise ValueError("has no audio")
        return audio["bytes"] if audio["bytes"] is not None else Path(audio["path"])

    def stamp(self) -> str:
        return " ".join(file["filename"] for file in self.dataset.cache_files)  # contains the version


def load(data_dir: str) -> Source:
    """List the clips of a dataset, which is downloaded if necessary.

    Raises:
        DataError: no such dataset, no training data, or no single column of audio and of labels.
    """
    name, config, label_column = _read_name(data_dir)
    try:
        found = load_dataset(name, config or None, download_config=DownloadConfig(max_retries=3))
    except Exception as error:  # datasets documents no common base class
        raise DataError(
            f"cannot load {data_dir}: {error}; give ORG/NAME, ORG/NAME:CONFIG or a Parquet folder"
        ) from error
    splits = _find_splits(found, data_dir)
    audio_column = _find_audio(splits["train"], data_dir)
    label_column = label_column or _find_label_column(splits["train"], data_dir)
    labels, multi_label = _read_labels(splits["train"], label_column, data_dir)

    index = {label: i for i, label in enumerate(labels)}
    clips = {}
    for split, dataset in splits.items():
        audio = dataset.select_columns(audio_column).cast_column(audio_column, Audio(decode=False))
        rows = _to_names(dataset, label_column, f"{data_dir}, {split}")
        unknown = sorted({label for row in rows for label in row if label not in index})
        problems = [f"{label!r} is in {split} but not in train" for label in unknown]
        raise_if_any(problems, data_dir, "use the same labels in all splits")
        clips[split] = [
            HubClip(Path(split) / str(i), tuple(sorted({index[label] for label in row})), audio, i)
            for i, row in enumerate(rows)
        ]
    problem_type = "multi_label_classification" if multi_label else "single_label_classification"
    return Source("hub", data_dir, labels, problem_type, clips, "roc_auc" if multi_label else "accuracy")


def _read_name(data_dir: str) -> tuple[str, str, str]:
    """Name, configuration and label column; the last two may be empty."""
    if Path(data_dir).is_dir():  # before looking for colons: C:\\sounds
        return data_dir, "", ""
    name, *rest = data_dir.rsplit(":", 2)
    return (name, *rest, "", "")[:3]


def _find_splits(found: DatasetDict, data_dir: str) -> dict[str, Dataset]:
    splits = {}
    for split, names in SPLIT_NAMES.items():
        known = [name for name in names if name in found]
        if known:
            splits[split] = found[known[0]]
    if "train" not in splits:
        raise DataError(f"{data_dir} has no split named train: it has {', '.join(found)}")
    if "validation" not in splits:
        if len(splits["train"]) < 2:
            raise DataError(f"{data_dir} has too few rows to draw a validation split: add one")
        drawn = splits["train"].train_test_split(VALIDATION_FRACTION, seed=VALIDATION_SEED)
        splits |= {"train": drawn["train"], "validation": drawn["test"]}
    return splits


def _find_audio(dataset: Dataset, data_dir: str) -> str:
    columns = [name for name, feature in dataset.features.items() if isinstance(feature, Audio)]
    if len(columns) != 1:
        raise DataError(
            f"{data_dir} needs one column of audio and has {len(columns)}: its columns are "
            f"{', '.join(dataset.features)}"
        )
    return columns[0]


def _find_label_column(dataset: Dataset, data_dir: str) -> str:
    for name in ("label", "labels"):
        if name in dataset.features:
            return name
    classes = [name for name, feature in dataset.features.items() if _class_label(feature) is not None]
    if len(classes) != 1:
        raise DataError(
            f"{data_dir} has several columns of labels, or none: name it as in ORG/NAME:CONFIG:COLUMN or "
            f"FOLDER::COLUMN; the columns are {', '.join(dataset.features)}"
        )
    return classes[0]


def _class_label(feature) -> ClassLabel | None:
    inner = getattr(feature, "feature", feature)  # of a list
    return inner if isinstance(inner, ClassLabel) else None


def _read_labels(dataset: Dataset, column: str, data_dir: str) -> tuple[list[str], bool]:
    if column not in dataset.features:
        raise DataError(f"{data_dir} has no column {column!r}: it has {', '.join(dataset.features)}")
    feature = dataset.features[column]
    multi_label = hasattr(feature, "feature")
    known = _class_label(feature)
    labels = known.names if known else sorted({label for row in _to_names(dataset, column, data_dir) for label in row})
    if len(labels) < 2:
        raise DataError(f"{data_dir}: column {column!r} has {len(labels)} different labels: at least two are needed")
    return list(labels), multi_label


def _to_names(dataset: Dataset, column: str, where: str) -> list[list[str]]:
    """Label names of each row."""
    known, values = _class_label(dataset.features[column]), dataset[column][:]
    rows = [value if isinstance(value, list) else [value] for value in values]
    unlabeled = [f"row {i} has no label" for i, row in enumerate(rows) if any(label in (None, -1) for label in row)]
    raise_if_any(unlabeled, where, "use labeled splits, or filter the rows out")
    return [[known.int2str(label) if known else str(label) for label in row] for row in rows]
