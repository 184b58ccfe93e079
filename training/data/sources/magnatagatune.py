"""MagnaTagATune: 29-second clips of music with tags, in the published layout.

annotations_final.csv       tab-separated: clip_id, one column per tag (188 columns of 0 or 1), mp3_path
mp3/0/*.mp3 ... mp3/f/      the unpacked mp3.zip.001-003; the folders 0 ... f may also be beside the table

The labels are the 50 most frequent tags of the whole table, most frequent first. Among equally frequent tags the later
column comes first, so `metal` precedes `female voice`, as in the authors' list (which is in reverse order).

Folders 0-b are the training split, c the validation split, d-f the test split. Two selections of clips are in use, and
their scores are not comparable. Both leave out three mp3 files that were published empty:

magnatagatune        21k clips, as in the paper: longer than 29.1 s, with at least one label
magnatagatune-26k    all 26k clips, 18 % of them without a label
"""

from collections import Counter
from itertools import chain
from pathlib import Path

from training.data.source import Clip, Source
from training.data.tables import audio_folder, check_paths, raise_if_any, read_table
from training.errors import DataError

ANNOTATIONS = "annotations_final.csv"
NUM_LABELS = 50
MIN_SECONDS = 29.1  # the paper, section IV-A, footnote 1
EMPTY_CLIP_IDS = {"35644", "55753", "57881"}
SPLIT_OF_FOLDER = dict.fromkeys("0123456789ab", "train") | {"c": "validation"} | dict.fromkeys("def", "test")


def load(data_dir: Path, all_clips: bool = False) -> Source:
    """List the paper's 21k clips, or all 26k. Three of the 21k are left out when they are decoded: they are too short.

    Raises:
        DataError: a faulty table, or an empty split.
    """
    path = data_dir / ANNOTATIONS
    (_, (first, *tags, last)), *rows = read_table(path, "\t")
    if (first, last) != ("clip_id", "mp3_path"):
        raise DataError(f"{path} needs the columns clip_id, tags and mp3_path, separated by tabs: download it again")
    _check_rows(rows, path)
    active = [[column for column, value in enumerate(values) if value == "1"] for _, (_, *values, _) in rows]
    counts = Counter(chain.from_iterable(active))
    columns = sorted(range(len(tags)), key=lambda column: (counts[column], column), reverse=True)[:NUM_LABELS]
    index = {column: label for label, column in enumerate(columns)}

    folder = audio_folder(data_dir)
    splits = {"train": [], "validation": [], "test": []}
    for (_, (clip_id, *_, mp3_path)), clip_tags in zip(rows, active, strict=True):
        labels = tuple(sorted(index[column] for column in clip_tags if column in index))
        if clip_id not in EMPTY_CLIP_IDS and (labels or all_clips):
            splits[_split_of(mp3_path)].append(Clip(folder / mp3_path, labels))
    name, min_seconds = ("magnatagatune-26k", 0.0) if all_clips else ("magnatagatune", MIN_SECONDS)
    names = [tags[column] for column in columns]
    return Source(name, data_dir, names, "multi_label_classification", splits, "roc_auc", min_seconds=min_seconds)


def _check_rows(rows: list[tuple[int, list[str]]], path: Path) -> None:
    faults = [
        f"row {line} has a tag that is neither 0 nor 1"
        for line, (_, *values, _) in rows
        if not set(values) <= {"0", "1"}
    ]
    names = [(line, cells[-1]) for line, cells in rows]
    faults += [f"row {line}: {name!r} is not in one of the folders 0-f" for line, name in names if not _split_of(name)]
    raise_if_any(faults, path, "correct the row")
    check_paths([name for _, name in names], path)
    check_paths([cells[0] for _, cells in rows], path)


def _split_of(mp3_path: str) -> str | None:
    return SPLIT_OF_FOLDER.get(mp3_path.partition("/")[0])
