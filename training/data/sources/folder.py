"""Your own data: audio files with one class each, in one of three layouts.

CSV files      train.csv, validation.csv (or valid, val, dev) and optionally test.csv, with the columns
               `file` (relative to the data folder) and `class`
split folders  train/<class>/*.wav, validation/<class>/*.wav (or valid, val, dev), optionally test/<class>/*.wav
class folders  <class>/*.wav; a hash of the file name assigns the splits, about 80 / 10 / 10 %
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from samplecnn_hf.files import AUDIO_SUFFIXES, is_audio
from training.data.source import Clip, Source
from training.data.sources.speech_commands import assign_split, is_class
from training.data.tables import check_paths, raise_if_any, read_table
from training.errors import DataError

SPLIT_NAMES = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}

Examples = dict[str, list[tuple[Path, str]]]  # by split: audio file and class name


def load(data_dir: Path, all_clips: bool = False) -> Source:
    """List the clips of a folder in one of the layouts above; the labels are the class names, sorted.

    Args:
        data_dir: the folder.
        all_clips: use the clips of all splits for training, and hold out none.

    Raises:
        DataError: no audio, no validation data, only one class, a class without training examples, or a faulty CSV
            file.
    """
    if (data_dir / "train.csv").exists():
        listed = {split: _read_csv(path) for split, path in _find_splits(data_dir, ".csv").items()}
        check_paths([file for rows in listed.values() for file, _ in rows], data_dir)
        examples = {split: [(data_dir / file, name) for file, name in rows] for split, rows in listed.items()}
    elif (data_dir / "train").is_dir():
        examples = {split: list(read_class_folders(path)) for split, path in _find_splits(data_dir, "").items()}
    else:
        examples = {split: [] for split in SPLIT_NAMES}
        for path, class_name in read_class_folders(data_dir):
            examples[assign_split(path.name)].append((path, class_name))
    if all_clips:
        examples = {"train": list(chain.from_iterable(examples.values()))}
        return make_source("folder-all", data_dir, examples, required=("train",))
    return make_source("folder", data_dir, examples)


def make_source(
    name: str, data_dir: Path, examples: Examples, required: tuple[str, ...] = ("train", "validation")
) -> Source:
    """Number the classes and check that every one of them can be learned. Raises `DataError` otherwise."""
    if not any(examples.values()):
        raise DataError(
            f"no audio ({', '.join(AUDIO_SUFFIXES)}) in {data_dir}: lay it out as <class>/*.wav, "
            "train/<class>/*.wav and validation/<class>/*.wav, or train.csv and validation.csv"
        )
    for split in required:
        if not examples.get(split):
            raise DataError(f"no {split} data in {data_dir}: add {split}.csv, {split}/<class>/*.wav or more files")
    labels = sorted({class_name for _, class_name in examples["train"]})
    index = {label: i for i, label in enumerate(labels)}
    for split, found in examples.items():
        unknown = [
            f"class {name!r} of {path} is in {split} but not in train" for path, name in found if name not in index
        ]
        raise_if_any(unknown, data_dir, "correct the name, or add training examples")
    if len(labels) < 2:
        raise DataError(f"{data_dir} holds only the class {labels[0]!r}: add audio of another class")
    splits = {
        split: [Clip(path, (index[name],)) for path, name in found] for split, found in examples.items() if found
    }
    return Source(name, data_dir, labels, "single_label_classification", splits, "accuracy")


def read_class_folders(folder: Path) -> Iterator[tuple[Path, str]]:
    """Audio file and class name of each <class>/<file> in `folder`, sorted; hidden files are skipped."""
    for class_dir in sorted(folder.iterdir()):
        if not class_dir.is_dir() or not is_class(class_dir.name):
            continue
        for path in sorted(class_dir.iterdir()):
            if is_audio(path):
                yield path, class_dir.name


def _find_splits(data_dir: Path, suffix: str) -> dict[str, Path]:
    splits = {}
    for split, names in SPLIT_NAMES.items():
        found = [path for name in names if (path := data_dir / f"{name}{suffix}").exists()]
        if len(found) > 1:
            raise DataError(f"{data_dir} has both {found[0].name} and {found[1].name}: keep one of them")
        if found:
            splits[split] = found[0]
    return splits


def _read_csv(path: Path) -> list[tuple[str, str]]:
    """File and class of each row."""
    (_, header), *rows = read_table(path)
    if not {"file", "class"} <= set(header):
        raise DataError(f"{path} needs the columns file and class, separated by commas; found: {header}")
    if not rows:
        raise DataError(f"{path} has no rows: write one row per audio file")
    file, class_name = header.index("file"), header.index("class")
    empty = [f"row {line}: file or class is empty" for line, row in rows if not row[file] or not row[class_name]]
    raise_if_any(empty, path, "fill it in or delete the row")
    return [(Path(row[file]).as_posix(), row[class_name]) for _, row in rows]
