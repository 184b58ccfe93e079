"""Folders of synthetic data: they appear when they are complete, and say that a program made what is in them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.data.claim import claim, remove_claimed
from training.data.source import SYNTHETIC_MARK as MARK
from training.errors import DataError

TEXT = "Made by a program, samplecnn-hf's training/synthetic. No recordings.\n"


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Make a folder under a temporary name, for the caller to fill; it becomes `path` when the block ends well.

    Raises:
        DataError: `path` exists, or the temporary name is taken by a folder that was not made here.
    """
    if os.path.lexists(path):
        raise DataError(f"{path} already exists: delete it or choose another output_dir")
    partial = path.with_name(f"{path.name}.partial")
    remove_claimed(partial, MARK)  # of a run that was killed
    claim(partial, MARK, TEXT)
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        remove_claimed(partial, MARK)
        raise
