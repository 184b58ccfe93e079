"""Recordings that no weight depends on, as further splits of a dataset of spoken words."""

from dataclasses import replace
from pathlib import Path

from samplecnn_hf.files import AUDIO_SUFFIXES, is_audio
from training.data.source import Clip, Source
from training.data.sources.folder import read_class_folders
from training.data.sources.speech_commands import BACKGROUND_NOISE, NO_KEYWORD, SILENCE, UNKNOWN
from training.errors import DataError

RECORDINGS = "recordings"  # words said by people, to be scored
BACKGROUND = "background"  # recordings without keywords, for the threshold


def add_recordings(source: Source, folder: Path) -> Source:
    """Add all clips of a folder in the layout of Speech Commands; split lists are ignored.

    Words that are not a label of `source` are `_unknown_`, background noises `_silence_`.

    Raises:
        DataError: no such folder, or no recordings of a keyword.
    """
    _check_folder(folder)
    found = list(read_class_folders(folder.absolute()))
    if not {name for _, name in found} & set(source.labels):
        words = ", ".join(label for label in source.labels if label not in NO_KEYWORD)
        raise DataError(f"{folder} holds no recordings of {words}: lay it out as <word>/*.wav")
    found += [(path, SILENCE) for path in _audio_files(folder / BACKGROUND_NOISE)]
    index = {label: i for i, label in enumerate(source.labels)}
    clips = [Clip(path, (index.get(name, index[UNKNOWN]),)) for path, name in found]
    return replace(source, splits=source.splits | {RECORDINGS: clips})


def add_background(source: Source, folder: Path) -> Source:
    """Add all audio files in a folder and its subfolders, without keywords. Raises `DataError` if there are none."""
    _check_folder(folder)
    files = _audio_files(folder)
    if not files:
        suffixes = ", ".join(AUDIO_SUFFIXES)
        raise DataError(f"{folder} holds no audio ({suffixes}): give a folder of recordings without keywords")
    return replace(source, splits=source.splits | {BACKGROUND: [Clip(path, ()) for path in files]})


def _audio_files(folder: Path) -> list[Path]:
    return sorted(path.absolute() for path in folder.rglob("*") if is_audio(path))


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give the folder that holds the recordings")
