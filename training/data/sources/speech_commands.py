"""Google Speech Commands: one-second spoken words, in the layout of the published archive.

word/HASH_nohash_N.wav      take N of the word by the speaker HASH
validation_list.txt         the files of the validation split, one `word/file` per line
testing_list.txt            the files of the test split; all others are the training split
_background_noise_/*.wav    long recordings without words
_silence_/*, _unknown_/*    classes without a keyword, as in the archive of the 12-class task; clips of any length
"""

import hashlib
from pathlib import Path

from samplecnn_hf.keywords import NO_KEYWORD
from training.data.source import Clip, Source
from training.data.tables import check_paths, raise_if_any
from training.errors import DataError

BACKGROUND_NOISE = "_background_noise_"
SILENCE, UNKNOWN = NO_KEYWORD
SPLIT_LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}

_HASH_BUCKETS = 2**27  # as in the published rule


def load(data_dir: Path) -> Source:
    """List the clips of an unpacked Speech Commands archive; the labels are its word folders, sorted.

    Raises:
        DataError: no words, a missing split list, a listed file that is missing, or an empty split.
    """
    words = sorted(path.name for path in data_dir.iterdir() if path.is_dir() and is_class(path.name))
    clips = {
        f"{word}/{path.name}": Clip(path, (label,))
        for label, word in enumerate(words)
        for path in sorted((data_dir / word).glob("*.wav"))
    }
    if not clips:
        raise DataError(f"{data_dir} holds no <word>/*.wav: give the folder of the unpacked Speech Commands archive")

    listed = {split: _read_list(data_dir / name, clips) for split, name in SPLIT_LISTS.items()}
    held_out = set().union(*listed.values())
    splits = {"train": [clip for name, clip in clips.items() if name not in held_out]}
    splits |= {split: [clips[name] for name in names] for split, names in listed.items()}
    noise = tuple(sorted((data_dir / BACKGROUND_NOISE).glob("*.wav")))
    return Source("speech_commands", data_dir, words, "single_label_classification", splits, "accuracy", noise)


def assign_split(file_name: str) -> str:
    """Choose "train", "validation" or "test" by the published hash rule of the archive: 80, 10 and 10 %.

    Only the part before `_nohash_` is hashed, so all takes of a speaker are in the same split, and a file stays in its
    split when others are added.
    """
    speaker = Path(file_name).name.partition("_nohash_")[0]
    bucket = int(hashlib.sha1(speaker.encode("utf-8", "surrogateescape")).hexdigest(), 16) % _HASH_BUCKETS
    percentage = 100 * bucket / (_HASH_BUCKETS - 1)
    if percentage < 10:
        return "validation"
    return "test" if percentage < 20 else "train"


def is_class(folder_name: str) -> bool:
    """Whether a folder is a class: `_silence_`, `_unknown_`, or a name that starts with neither `_` nor `.`."""
    return folder_name in NO_KEYWORD or not folder_name.startswith(("_", "."))


def _read_list(path: Path, clips: dict[str, Clip]) -> list[str]:
    if not path.is_file():
        raise DataError(f"{path} is missing or not a file: unpack the whole archive, it contains the split lists")
    names = path.read_text(encoding="utf-8", errors="surrogateescape").split()  # as Path decodes file names
    missing = [f"{name} is listed but missing" for name in names if name not in clips]
    raise_if_any(missing, path, "unpack the whole archive again")
    check_paths(names, path)
    return names
