"""Million Song Dataset with Last.fm tags. The audio (30-second previews) cannot be redistributed: you must provide it.

train.csv, validation.csv, test.csv     columns track_id and tags, separated by semicolons
mp3/A/B/C/TRABCxxxxxxxxxxxxx.mp3        previews, in folders named after letters 3-5 of the track id; the
                                        folders A ... Z may also be beside the tables

The usual split files (jongpillee/music_dataset_split, folder MSD_split) are pickles. Unpickling can run any code, so
they are not read here; convert a copy that you trust:

    import csv, pickle
    from training.data.sources.million_song import TAGS

    read = lambda name: pickle.load(open(name, "rb"), encoding="latin-1")
    development, vectors = read("filtered_list_train.cP"), read("msd_id_to_tag_vector.cP")
    splits = {"train": development[:201680], "validation": development[201680:], "test": read("filtered_list_test.cP")}
    for split, ids in splits.items():
        with open(f"{split}.csv", "w", newline="") as file:
            tags = [";".join(tag for tag, active in zip(TAGS, vectors[i].ravel()) if active) for i in ids]
            csv.writer(file).writerows([("track_id", "tags"), *zip(ids, tags)])
"""

import re
from pathlib import Path

from training.data.source import Clip, Source
from training.data.tables import audio_folder, check_paths, raise_if_any, read_table
from training.errors import DataError

# The 50 most frequent tags that describe the sound, in the order of the tag vectors in the split files.
TAGS = [
    *("rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s", "alternative rock"),
    *("jazz", "beautiful", "metal", "chillout", "male vocalists", "classic rock", "soul", "indie rock", "Mellow"),
    *("electronica", "80s", "folk", "90s", "chill", "instrumental", "punk", "oldies", "blues", "hard rock", "ambient"),
    *("acoustic", "experimental", "female vocalist", "guitar", "Hip-Hop", "70s", "party", "country"),
    *("easy listening", "sexy", "catchy", "funk", "electro", "heavy metal", "Progressive rock", "60s", "rnb"),
    *("indie pop", "sad", "House", "happy"),
]
SPLITS = ("train", "validation", "test")

_TRACK_ID = re.compile(r"TR[A-Z]{5}[0-9A-F]{11}")


def load(data_dir: Path) -> Source:
    """List the clips of the three tables.

    Raises:
        DataError: a faulty table, an unknown tag, a track listed twice, or an empty split.
    """
    listed = {split: _read_split(data_dir / f"{split}.csv") for split in SPLITS}
    check_paths([name for rows in listed.values() for name, _ in rows], data_dir)
    folder = audio_folder(data_dir)
    splits = {split: [Clip(folder / name, tags) for name, tags in rows] for split, rows in listed.items()}
    return Source("million_song", data_dir, TAGS, "multi_label_classification", splits, "roc_auc")


def _read_split(path: Path) -> list[tuple[str, tuple[int, ...]]]:
    index = {tag: label for label, tag in enumerate(TAGS)}
    (_, header), *rows = read_table(path)
    if header != ["track_id", "tags"]:
        raise DataError(f"{path} needs the columns track_id and tags, separated by a comma; found: {header}")
    faults = [
        f"row {line}: {cells[0]!r} is not a track id" for line, cells in rows if not _TRACK_ID.fullmatch(cells[0])
    ]
    raise_if_any(faults, path, "an id looks like TRAAAAK128F9318786; correct the row")
    tags = [(line, tag) for line, cells in rows for tag in cells[1].split(";")]
    faults = [f"row {line}: {tag!r} is not one of the {len(TAGS)} tags" for line, tag in tags if tag not in index]
    raise_if_any(faults, path, "correct the row")
    return [
        ("/".join((*track_id[2:5], f"{track_id}.mp3")), tuple(sorted({index[tag] for tag in tags.split(";")})))
        for _, (track_id, tags) in rows
    ]
