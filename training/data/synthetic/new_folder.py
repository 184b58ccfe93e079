"""Folders that appear when they are complete, and say that a program made what is in them."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.data.source import DataError

MARK = "SYNTHETIC.txt"


def is_synthetic(data_dir: str | Path) -> bool:
    """Was this data set made by `training.data.synthetic`?"""
    return (Path(data_dir) / MARK).is_file()


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Make a folder under a temporary name, for the caller to fill; it becomes `path` when the block ends well.

    Raises:
        DataError: `path` exists.
    """
    if path.exists():
        raise DataError(f"{path} already exists: delete it or choose another output_dir")
    partial = path.with_name(f"{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    try:
        partial.mkdir(parents=True)
        (partial / MARK).write_text("Made by a program, samplecnn-hf's training/data/synthetic. No recordings.\n")
        yield partial
        os.replace(partial, path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
