"""DCASE 2017 task 4: ten-second street recordings, labeled with warning sounds and vehicles.

groundtruth_weak_label_training_set.csv      tab-separated, no header: file, start, end, label;
groundtruth_weak_label_testing_set.csv       one row per label of a file
groundtruth_weak_label_evaluation_set.csv
unbalanced_train_segments_training_set_audio_formatted_and_segmented_downloads/Y<file>
unbalanced_train_segments_testing_set_audio_formatted_and_segmented_downloads/Y<file>
evaluation_set_formatted_audio_segments/Y<file>

The labels are in the order of the challenge's description. The evaluation set is the test split. The validation split
is drawn from the pooled training and testing sets, as in the authors' code: a tenth of the rows of each class. A file
drawn for one of its labels is held out with all of them.
"""

from collections import defaultdict
from pathlib import Path

import numpy as np

from training.data.source import Clip, Source
from training.data.tables import check_paths, raise_if_any, read_table
from training.errors import DataError

LABELS = [
    "Train horn",
    "Air horn, truck horn",
    "Car alarm",
    "Reversing beeps",
    "Ambulance (siren)",
    "Police car (siren)",
    "Fire engine, fire truck (siren)",
    "Civil defense siren",
    "Screaming",
    "Bicycle",
    "Skateboard",
    "Car",
    "Car passing by",
    "Bus",
    "Truck",
    "Motorcycle",
    "Train",
]
AUDIO_FOLDERS = {
    "training": "unbalanced_train_segments_training_set_audio_formatted_and_segmented_downloads",
    "testing": "unbalanced_train_segments_testing_set_audio_formatted_and_segmented_downloads",
    "evaluation": "evaluation_set_formatted_audio_segments",
}
VALIDATION_FRACTION = 0.1
VALIDATION_SEED = 123


def load(data_dir: Path) -> Source:
    """List the clips of the three sets.

    Raises:
        DataError: a faulty table, an unknown label, or an empty split.
    """
    rows = {name: _read_rows(data_dir / f"groundtruth_weak_label_{name}_set.csv") for name in AUDIO_FOLDERS}
    pooled = _make_clips(data_dir, rows, "training", "testing")
    held_out = draw_validation(rows["training"] + rows["testing"])
    splits = {
        "train": [clip for file, clip in pooled.items() if file not in held_out],
        "validation": [clip for file, clip in pooled.items() if file in held_out],
        "test": list(_make_clips(data_dir, rows, "evaluation").values()),
    }
    return Source("dcase2017", data_dir, LABELS, "multi_label_classification", splits, "f1_samples@0.1")


def draw_validation(rows: list[tuple[str, int]]) -> set[str]:
    """Draw the files of the validation split.

    Equivalent to `DataFrame.sample(frac=0.1, random_state=123)` on the rows of each class, as in the authors' code:
    the start of a permutation by numpy's legacy generator, whose output is guaranteed not to change.

    Args:
        rows: file and label of each row, in the order of the tables.
    """
    drawn = set()
    for label in range(len(LABELS)):
        files = [file for file, row_label in rows if row_label == label]
        order = np.random.RandomState(VALIDATION_SEED).permutation(len(files))
        drawn.update(files[i] for i in order[: round(VALIDATION_FRACTION * len(files))])
    return drawn


def _read_rows(path: Path) -> list[tuple[str, int]]:
    index = {name: label for label, name in enumerate(LABELS)}
    rows = read_table(path, "\t")
    if len(rows[0][1]) != 4:
        raise DataError(f"{path} needs four columns separated by tabs (file, start, end, label): download it again")
    unknown = [f"row {line}: {cells[3]!r} is not a known label" for line, cells in rows if cells[3] not in index]
    raise_if_any(unknown, path, "correct the row")
    check_paths(list({cells[0] for _, cells in rows}), path)
    return [(cells[0], index[cells[3]]) for _, cells in rows]


def _make_clips(data_dir: Path, rows: dict[str, list[tuple[str, int]]], *sets: str) -> dict[str, Clip]:
    """One clip per file in `sets`, with the labels of all its rows."""
    paths, labels = {}, defaultdict(set)
    for name in sets:
        for file, label in rows[name]:
            paths[file] = data_dir / AUDIO_FOLDERS[name] / f"Y{file}"
            labels[file].add(label)
    return {file: Clip(path, tuple(sorted(labels[file]))) for file, path in paths.items()}
