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
FOLD = "folder-fold"  # the name of a source with a fold held out begins with it
SPLIT_NAMES = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}


@dataclass(frozen=True)
class _Example:
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
        examples = {split: list(_read_classes(path)) for split, path in _find_splits(data_dir, "").items()}
    else:
        examples = {split: [] for split in SPLIT_NAMES}
        for example in _read_classes(data_dir):
            examples[assign_split(example.path.name)].append(example)

    return _make_source("folder", data_dir, examples)


def load_folds(data_dir: Path) -> dict[str, Source]:
    """Class folders whose file names begin with the number of their fold (`2-dog.wav`), for cross-validation.

    Returns:
        For each fold a source that has it as the validation split and the others for training.

    Raises:
        DataError: no audio, a file without a fold, fewer than two folds, or a class that is not in all the others.
    """
    examples = list(_read_classes(data_dir))
    folds = sorted({_fold(example.path) for example in examples})
    if len(folds) < 2:
        raise DataError(
            f"{data_dir} needs files of two folds or more, such as <class>/1-dog.wav and <class>/2-dog.wav"
        )
    sources = {}
    for fold in folds:
        splits = {"train": [], "validation": []}
        for example in examples:
            splits["validation" if _fold(example.path) == fold else "train"].append(example)
        sources[fold] = _make_source(f"{FOLD}{fold}", data_dir, splits)
    return sources


def load_fold(data_dir: Path, fold: str) -> Source:
    """One of `load_folds`. Raises `DataError` if it is not there, and as that."""
    folds = load_folds(data_dir)
    if fold not in folds:
        raise DataError(f"{data_dir} has no fold {fold!r}; it has {', '.join(folds)}")
    return folds[fold]


def _fold(path: Path) -> str:
    fold, separator, _ = path.name.partition("-")
    if not (separator and fold.isdecimal()):
        raise DataError(
            f"{path} does not begin with the number of its fold and a hyphen, such as 2-dog.wav: rename it"
        )
    return fold


def _make_source(name: str, data_dir: Path, examples: dict[str, list[_Example]]) -> Source:
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


def _read_csv(path: Path) -> Iterator[_Example]:
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
        yield _Example(path.parent / file, class_name, f"{path}, row {line}")


def _leads_out(file: str) -> bool:
    return bool(Path(file).anchor) or ".." in Path(file).parts


def _read_classes(folder: Path) -> Iterator[_Example]:
    for class_dir in sorted(folder.iterdir()):
        if not class_dir.is_dir() or class_dir.name.startswith(("_", ".")):
            continue
        for path in sorted(class_dir.iterdir()):
            if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith("."):
                yield _Example(path, class_dir.name, str(class_dir))


def _check_splits(data_dir: Path, examples: dict[str, list[_Example]]) -> None:
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
