"""Work folders for unfinished downloads. Only folders with our marker file are ever removed."""

import shutil
from pathlib import Path

from training.errors import DataError

MARKER = "UNFINISHED.txt"
TEXT = "Made by training/download.py, which removes it when the dataset is complete.\n"


def make_work_folder(folder: Path) -> None:
    """Make `folder` with a marker file in it; an empty or marked folder is reused.

    Raises:
        DataError: a file, a link or a folder with other files is in the way.
    """
    if folder.is_symlink() or folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is in the way: move it, or choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    if not _is_marked(folder):
        if any(folder.iterdir()):
            raise DataError(f"{folder} holds other files: move it, or choose another folder")
        (folder / MARKER).write_text(TEXT, encoding="utf-8")


def remove_work_folder(folder: Path) -> None:
    """Remove `folder` if it is marked. The marker is removed last, so an interrupted removal can be repeated."""
    if _is_marked(folder):
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != MARKER:
                path.unlink()
        shutil.rmtree(folder)


def _is_marked(folder: Path) -> bool:
    return (folder / MARKER).is_file() and not folder.is_symlink()
