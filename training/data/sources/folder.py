"""Your own data: audio files (wav, flac, ogg, mp3) with one class each, in one of three layouts.

CSV files      train.csv, validation.csv (or valid, val, dev) and, if you have one, test.csv, with the
               columns `file` (relative to the data folder) and `class`
split folders  train/<class>/*.wav, validation/<class>/*.wav (or valid, val, dev), if you like test/<class>/*.wav
class folders  <class>/*.wav; the splits are chosen by a hash of the file name, about 80 / 10 / 10 %
"""

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from training.data.source import Clip, Source
from training.data.sources.speech_commands import assign_split
from training.data.tables import refuse_null_bytes, refuse_rows
from training.errors import DataError

AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".mp3"}
SPLIT_NAMES = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}


@dataclass(frozen=True)
class Example:
    path: Path
    class_name: str
    found_in: str  # for error messages: the file and row, or the folder


def load(data_dir: Path) -> Source:
    """List the clips of a user's folder (layouts: see the module); the labels are the class names, sorted.

    Raises:
        DataError: no audio, no validation data, one class only, a class that is never seen in training, or a faulty
            CSV file.
    """
    if (data_dir / "train.csv").exists():
        examples = {split: list(_read_csv(path)) for split, path in _find_splits(data_dir, ".csv").items()}
    elif (data_dir / "train").is_dir():
        examples = {split: list(read_class_folders(path)) for split, path in _find_splits(data_dir, "").items()}
    else:
        examples = {split: [] for split in SPLIT_NAMES}
        for example in read_class_folders(data_dir):
            examples[assign_split(example.path.name)].append(example)

    return make_source("folder", data_dir, examples)


def make_source(name: str, data_dir: Path, examples: dict[str, list[Example]]) -> Source:
    _check_splits(data_dir, examples)
    labels = sorted({example.class_name for split in examples.values() for example in split})
    if len(labels) < 2:
        raise DataError(f"{data_dir} holds only the class {labels[0]!r}: add audio of another, to tell it from")
    index = {label: i for i, label in enumerate(labels)}
    splits = {
        split: [Clip(example.path, (index[example.class_name],)) for example in found]
        for split, found in examples.items()
        if found
    }
    return Source(name, data_dir, labels, "single_label_classification", splits, "accuracy")


def _find_splits(data_dir: Path, suffix: str) -> dict[str, Path]:
    splits = {}
    for split, names in SPLIT_NAMES.items():
        found = [path for name in names if (path := data_dir / f"{name}{suffix}").exists()]
        if len(found) > 1:
            raise DataError(f"{data_dir} has both {found[0].name} and {found[1].name}: keep one of them")
        if found:
            splits[split] = found[0]
    return splits


def _read_csv(path: Path) -> Iterator[Example]:
    if not path.is_file():
        raise DataError(f"{path} is not a file: replace it by a table with the columns file and class")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            if not {"file", "class"} <= set(columns):
                raise DataError(f"{path} needs the columns file and class, separated by commas; found: {columns}")
            rows = [(reader.line_num, row["file"], row["class"]) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a table in UTF-8 text ({error}): save it again as CSV UTF-8") from error
    if not rows:
        raise DataError(f"{path} has no rows: list one audio file a row")
    incomplete = [
        f"row {line}: file or class is empty" for line, file, class_name in rows if not file or not class_name
    ]
    refuse_rows(incomplete, path, "fill it in or delete the row")
    refuse_null_bytes([(line, cells) for line, *cells in rows], path)
    outside = [f"row {line}: {file} leads out of {path.parent}" for line, file, _ in rows if _leads_out(file)]
    refuse_rows(outside, path, "give a path relative to that folder")
    for line, file, class_name in rows:
        yield Example(path.parent / file, class_name, f"{path}, row {line}")


def _leads_out(file: str) -> bool:
    return bool(Path(file).anchor) or ".." in Path(file).parts


def read_class_folders(folder: Path) -> Iterator[Example]:
    for class_dir in sorted(folder.iterdir()):
        if not class_dir.is_dir() or class_dir.name.startswith(("_", ".")):
            continue
        for path in sorted(class_dir.iterdir()):
            if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith("."):
                yield Example(path, class_dir.name, str(class_dir))


def _check_splits(data_dir: Path, examples: dict[str, list[Example]]) -> None:
    if not any(examples.values()):
        raise DataError(
            f"no audio (wav, flac, ogg, mp3) in {data_dir}: lay it out as <class>/*.wav, "
            "train/<class>/*.wav and validation/<class>/*.wav, or train.csv and validation.csv"
        )
    for split in ("train", "validation"):
        if not examples.get(split):
            raise DataError(f"no {split} data in {data_dir}: add {split}.csv, {split}/<class>/*.wav or more files")
    paths = Counter(example.path for found in examples.values() for example in found)
    repeated = [f"{path.relative_to(data_dir)} is listed more than once" for path, count in paths.items() if count > 1]
    refuse_rows(repeated, data_dir, "keep one of its rows; training and validation must not share clips")
    trained = {example.class_name for example in examples["train"]}
    for split, found in examples.items():
        for example in found:
            if example.class_name not in trained:
                raise DataError(
                    f"{example.found_in}: class {example.class_name!r} is in {split} but never in train: "
                    "correct the name, or add training examples of it"
                )
