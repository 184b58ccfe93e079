"""Working folders that are removed later: only those that this package made, known by a file in them, the mark."""

import shutil
from pathlib import Path

from training.errors import DataError


def claim(folder: Path, mark: str, text: str) -> None:
    """Make `folder`, with `text` in the file `mark`; or take over an empty one, or one that is marked already.

    Raises:
        DataError: anything else is in its place.
    """
    if folder.is_symlink() or folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is in the way: move it, or choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    if not is_claimed(folder, mark):
        if any(folder.iterdir()):
            raise DataError(f"{folder} holds files of another origin: move it, or choose another folder")
        (folder / mark).write_text(text, encoding="utf-8")


def is_claimed(folder: Path, mark: str) -> bool:
    return (folder / mark).is_file() and not folder.is_symlink()


def remove_claimed(folder: Path, mark: str) -> None:
    """Remove `folder` if it is marked. The mark goes last: if this is interrupted, it can be repeated."""
    if is_claimed(folder, mark):
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != mark:
                path.unlink()
        shutil.rmtree(folder)
