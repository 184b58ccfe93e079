"""PATHS of the command line: files, folders and patterns, local or remote, URLs, and `-` for the standard input."""

import glob
import os
import shutil
import sys
import tempfile
from typing import Annotated

from typer import Argument

# Of the files that are read in folders; the last ones need PyAV.
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".opus", ".m4a", ".aac", ".webm")
STANDARD_INPUT = "-"

Paths = Annotated[
    list[str],
    Argument(
        metavar="PATHS...",
        help="Audio files, folders (searched for audio at any depth), quoted patterns such as 'a/**/*.wav', the same "
        "in other storage (s3://...), URLs, or - for audio from the standard input.",
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
        if is_remote(path):
            found = sorted(_find_remote(path))
        elif os.path.isdir(path):
            found = sorted(os.path.join(parent, name) for parent, _, names in os.walk(path) for name in names)
            found = list(filter(_is_audio, found))
        elif not os.path.exists(path) and not is_url(path) and glob.has_magic(path):
            found = sorted(file for file in glob.iglob(path, recursive=True) if os.path.isfile(file))
        if not found:
            raise OSError(
                f"there is no audio in {path}: give files, folders or patterns ({', '.join(AUDIO_SUFFIXES)})"
            )
        files |= dict.fromkeys(found)
    return list(files)


def _is_audio(file: str) -> bool:
    return file.lower().endswith(AUDIO_SUFFIXES) and not os.path.basename(file).startswith(".")


def _find_remote(path: str) -> list[str]:
    import fsspec  # a requirement of huggingface_hub

    storage, root = fsspec.url_to_fs(path)
    if glob.has_magic(path):
        names = storage.glob(root)
    elif storage.isdir(root):
        names = filter(_is_audio, storage.find(root))
    else:
        return [path]
    return [storage.unstrip_protocol(name) for name in names]


def is_url(path: str) -> bool:
    """Return whether this is an http(s) URL, which only the pipeline reads."""
    return path.lower().startswith(("http://", "https://"))


def is_remote(path: str) -> bool:
    """Return whether this is a path of fsspec, such as s3://bucket/folder."""
    return "://" in path and not is_url(path)


def open_audio(file: str):
    """Open the standard input and remote files for reading; other names are returned as they are."""
    if is_remote(file):
        import fsspec

        return fsspec.open(file, "rb").open()
    if file != STANDARD_INPUT:
        return file
    copy = tempfile.TemporaryFile()  # seekable
    shutil.copyfileobj(sys.stdin.buffer, copy)
    return copy
