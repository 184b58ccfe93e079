"""MagnaTagATune: clips of music, 29 seconds long, with tags; in the layout its owners distribute.

annotations_final.csv       tab-separated: clip_id, one column for each of the 188 tags (0 or 1), mp3_path
mp3/0/*.mp3 ... mp3/f/      the joined and unpacked mp3.zip.001-003; the folders may also lie beside the table

The labels are the 50 most frequent tags of the whole table, the most frequent first. Of equally frequent ones the
later column comes first: thus `metal` comes before `female voice`, as in the authors' list (which is reversed).

Folders 0-b are for training, c for validation, d-f for the test. Two choices of clips circulate, and their scores do
not compare; three mp3 files that are published empty are in neither:

magnatagatune        21k clips, the paper's: those with at least one of the labels and longer than 29.1 s
magnatagatune-26k    26k clips: all of them, 18 % without any label
"""

from collections import Counter
from itertools import chain
from pathlib import Path

from training.data.source import Clip, Source
from training.data.tables import audio_folder, check_names, read_rows, refuse_rows
from training.errors import DataError

ANNOTATIONS = "annotations_final.csv"
NUM_LABELS = 50
MIN_SECONDS = 29.1  # the paper, section IV-A, footnote 1
EMPTY_CLIP_IDS = {"35644", "55753", "57881"}
SPLIT_OF_FOLDER = dict.fromkeys("0123456789ab", "train") | {"c": "validation"} | dict.fromkeys("def", "test")

_Listed = list[tuple[str, tuple[int, ...]]]  # mp3_path and labels of each clip


def load(data_dir: Path) -> Source:
    """List the paper's 21k clips; three of the 15,247 for training turn out too short when they are prepared.

    Raises:
        DataError: a faulty table, or an empty split.
    """
    labels, rows = _read_annotations(data_dir / ANNOTATIONS)
    return _make_source("magnatagatune", data_dir, labels, [row for row in rows if row[1]], MIN_SECONDS)


def load_26k(data_dir: Path) -> Source:
    """List all clips but the three empty ones, with or without labels and of any duration.

    Raises:
        DataError: a faulty table, or an empty split.
    """
    labels, rows = _read_annotations(data_dir / ANNOTATIONS)
    return _make_source("magnatagatune-26k", data_dir, labels, rows, min_seconds=0.0)


def _read_annotations(path: Path) -> tuple[list[str], _Listed]:
    (_, (first, *tags, last)), *rows = read_rows(path, "\t")
    if (first, last) != ("clip_id", "mp3_path"):
        raise DataError(f"{path} needs the columns clip_id, tags and mp3_path, separated by tabs: download it again")
    _check_rows(rows, path)
    tags_heard = [[column for column, value in enumerate(values) if value == "1"] for _, (_, *values, _) in rows]

    counts = Counter(chain.from_iterable(tags_heard))
    columns = sorted(range(len(tags)), key=lambda column: (counts[column], column), reverse=True)[:NUM_LABELS]
    index = {column: label for label, column in enumerate(columns)}
    listed = [
        (mp3_path, tuple(sorted(index[column] for column in heard if column in index)))
        for (_, (clip_id, *_, mp3_path)), heard in zip(rows, tags_heard, strict=True)
        if clip_id not in EMPTY_CLIP_IDS
    ]
    return [tags[column] for column in columns], listed


def _check_rows(rows: list[tuple[int, list[str]]], path: Path) -> None:
    faults = [
        f"row {line} has a tag that is neither 0 nor 1"
        for line, (_, *values, _) in rows
        if not set(values) <= {"0", "1"}
    ]
    refuse_rows(faults, path, "correct the row")
    names = [(line, cells[-1]) for line, cells in rows]
    faults = [
        f"row {line}: {name!r} is not in one of the folders 0-f"
        for line, name in names
        if name.partition("/")[0] not in SPLIT_OF_FOLDER
    ]
    refuse_rows(faults, path, "correct the row")
    check_names([name for _, name in names], path)
    check_names([cells[0] for _, cells in rows], path)


def _make_source(name: str, data_dir: Path, labels: list[str], listed: _Listed, min_seconds: float) -> Source:
    folder = audio_folder(data_dir)
    splits = {split: [] for split in ("train", "validation", "test")}
    for mp3_path, tags in listed:
        splits[SPLIT_OF_FOLDER[mp3_path.partition("/")[0]]].append(Clip(folder / mp3_path, tags))
    return Source(name, data_dir, labels, "multi_label_classification", splits, "roc_auc", min_seconds=min_seconds)
