"""PATHS of the command line: files, folders and patterns, local or remote, URLs, and `-` for the standard input."""

import glob
import os
import shutil
import sys
import tempfile
from functools import cached_property
from typing import Annotated

from typer import Argument

from ..files import AUDIO_SUFFIXES, is_audio

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
            found = list(filter(is_audio, found))
        elif not os.path.exists(path) and not is_url(path) and glob.has_magic(path):
            found = sorted(file for file in glob.iglob(path, recursive=True) if os.path.isfile(file))
        if not found:
            raise OSError(f"no audio found in {path}: give files, folders or patterns ({', '.join(AUDIO_SUFFIXES)})")
        files |= dict.fromkeys(found)
    return list(files)


def _find_remote(path: str) -> list[str]:
    import fsspec  # a requirement of huggingface_hub

    storage, root = fsspec.url_to_fs(path)
    if glob.has_magic(path):
        names = storage.glob(root)
    elif storage.isdir(root):
        names = filter(is_audio, storage.find(root))
    else:
        return [path]
    return [storage.unstrip_protocol(name) for name in names]


def is_url(path: str) -> bool:
    """Return whether this is an http(s) URL, which only the pipeline reads."""
    return path.lower().startswith(("http://", "https://"))


def is_remote(path: str) -> bool:
    """Return whether this is a path of fsspec, such as s3://bucket/folder."""
    return "://" in path and not is_url(path)


class _RemoteFile:
    """A remote file that is opened when it is used, so that an error concerns this file only."""

    def __init__(self, path: str):
        self._path = path

    @cached_property
    def _file(self):
        import fsspec

        try:
            return fsspec.open(self._path, "rb").open()
        except (ImportError, OSError):
            raise
        except Exception as error:  # the storage's own, such as those of botocore
            raise OSError(f"cannot open {self._path}: {error}") from error

    def __getattr__(self, name: str):
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._file, name)


def open_audio(file: str):
    """Return remote files and the standard input as file objects, and other names as they are."""
    if is_remote(file):
        return _RemoteFile(file)
    if file != STANDARD_INPUT:
        return file
    copy = tempfile.TemporaryFile()  # seekable
    shutil.copyfileobj(sys.stdin.buffer, copy)
    return copy
