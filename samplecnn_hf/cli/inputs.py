"""PATHS of the command line: files, folders, patterns, URLs, and `-` for the standard input."""

import glob
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from typer import Argument

# Of the files that are read in folders; the last ones need PyAV.
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".opus", ".m4a", ".aac", ".webm")
STANDARD_INPUT = "-"

Paths = Annotated[
    list[str],
    Argument(
        metavar="PATHS...",
        help="Audio files, folders (searched for audio at any depth), quoted patterns such as 'a/**/*.wav', URLs, or "
        "- for audio from the standard input.",
    ),
]


def find_files(paths: list[str]) -> list[str]:
    """
    Return the files of all paths once each, those of a folder or pattern sorted.

    Raises:
        OSError: A folder or a pattern has no files. A file need not exist.
    """
    files = {}
    for path in paths:
        found = [path]
        if os.path.isdir(path):
            found = sorted(_audio_files(path))
        elif not os.path.exists(path) and not is_url(path) and glob.has_magic(path):
            found = sorted(file for file in glob.iglob(path, recursive=True) if os.path.isfile(file))
        if not found:
            raise OSError(
                f"there is no audio in {path}: give files, folders or patterns ({', '.join(AUDIO_SUFFIXES)})"
            )
        files |= dict.fromkeys(found)
    return list(files)


def _audio_files(folder: str) -> Iterator[str]:
    for parent, _, names in os.walk(folder):
        for name in names:
            if Path(name).suffix.lower() in AUDIO_SUFFIXES and not name.startswith("."):
                yield os.path.join(parent, name)


def is_url(path: str) -> bool:
    """Whether a path is a URL, which only the pipeline reads."""
    return "://" in path


def open_standard_input(file: str):
    """Return the standard input as a seekable file for `-`, and other files unchanged."""
    if file != STANDARD_INPUT:
        return file
    copy = tempfile.TemporaryFile()
    shutil.copyfileobj(sys.stdin.buffer, copy)
    return copy
