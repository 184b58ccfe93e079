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
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import soundfile

from training.data.index import audio_folder, check_files, read_rows
from training.data.source import Clip, DataError, Source

ANNOTATIONS = "annotations_final.csv"
NUM_LABELS = 50
MIN_SECONDS = 29.1  # the paper, section IV-A, footnote 1
EMPTY_CLIP_IDS = {"35644", "55753", "57881"}
SPLIT_OF_FOLDER = dict.fromkeys("0123456789ab", "train") | {"c": "validation"} | dict.fromkeys("def", "test")

_Listed = list[tuple[str, tuple[int, ...]]]  # mp3_path and labels of each clip


def load(data_dir: Path) -> Source:
    """List the paper's 21k clips; reads the headers of the mp3 files for their durations.

    Raises:
        DataError: a faulty table, audio that is missing or unreadable, or an empty split.
    """
    labels, listed = _read_annotations(data_dir / ANNOTATIONS)
    folder = audio_folder(data_dir)
    tagged = [(name, tags) for name, tags in listed if tags]
    check_files(folder, [name for name, _ in tagged])
    with ThreadPoolExecutor() as pool:
        durations = pool.map(read_seconds, [folder / name for name, _ in tagged])
        long_enough = [row for row, seconds in zip(tagged, durations, strict=True) if seconds > MIN_SECONDS]
    return _make_source("magnatagatune", labels, folder, long_enough)


def load_26k(data_dir: Path) -> Source:
    """List all clips but the three empty ones, with or without labels and of any duration.

    Raises:
        DataError: a faulty table, missing audio, or an empty split.
    """
    labels, listed = _read_annotations(data_dir / ANNOTATIONS)
    folder = audio_folder(data_dir)
    check_files(folder, [name for name, _ in listed])
    return _make_source("magnatagatune-26k", labels, folder, listed)


def read_seconds(path: Path) -> float:
    """Read the duration of an audio file without decoding it (about 0.1 ms)."""
    try:
        return soundfile.info(path).duration
    except soundfile.LibsndfileError as error:
        raise DataError(f"{path} is empty or no audio: unpack it again") from error


def _read_annotations(path: Path) -> tuple[list[str], _Listed]:
    (_, (first, *tags, last)), *rows = read_rows(path, "\t")
    if (first, last) != ("clip_id", "mp3_path"):
        raise DataError(f"{path} needs the columns clip_id, tags and mp3_path, separated by tabs: download it again")
    clips = []
    tags_heard = []
    for line, (clip_id, *values, mp3_path) in rows:
        if not set(values) <= {"0", "1"}:
            raise DataError(f"{path}, row {line}: a tag is neither 0 nor 1: correct the row")
        if mp3_path.partition("/")[0] not in SPLIT_OF_FOLDER:
            raise DataError(f"{path}, row {line}: {mp3_path!r} is not in one of the folders 0-f: correct the row")
        clips.append((clip_id, mp3_path))
        tags_heard.append([column for column, value in enumerate(values) if value == "1"])

    counts = Counter(chain.from_iterable(tags_heard))
    columns = sorted(range(len(tags)), key=lambda column: (counts[column], column), reverse=True)[:NUM_LABELS]
    index = {column: label for label, column in enumerate(columns)}
    listed = [
        (mp3_path, tuple(sorted(index[column] for column in heard if column in index)))
        for (clip_id, mp3_path), heard in zip(clips, tags_heard, strict=True)
        if clip_id not in EMPTY_CLIP_IDS
    ]
    return [tags[column] for column in columns], listed


def _make_source(name: str, labels: list[str], folder: Path, listed: _Listed) -> Source:
    splits = {split: [] for split in ("train", "validation", "test")}
    for mp3_path, tags in listed:
        splits[SPLIT_OF_FOLDER[mp3_path.partition("/")[0]]].append(Clip(folder / mp3_path, tags))
    return Source(name, labels, "multi_label_classification", splits)
