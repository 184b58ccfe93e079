"""Shared helpers of the synthetic data generators: folder, processes, command line and size checks."""

import argparse
import importlib
import multiprocessing
import operator
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from tqdm import tqdm

from samplecnn_hf.files import replace_when_complete
from training.data.source import SYNTHETIC_MARK
from training.errors import DataError, errors_in_one_line

TEXT = "Made by a program, samplecnn-hf's training/synthetic. No recordings.\n"


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder, marked as synthetic, which is renamed to `path` when the block has filled it.

    Raises:
        DataError: `path` exists.
    """
    if os.path.lexists(path):
        raise DataError(f"{path} already exists: delete it or choose another output_dir")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_when_complete(path) as folder:
        folder.mkdir()
        (folder / SYNTHETIC_MARK).write_text(TEXT, encoding="utf-8")
        yield folder


def check_at_least(**limits: tuple[int, int]) -> None:
    """Check arguments, given as `name=(value, minimum)`. Raises `DataError` for a value below its minimum."""
    for name, (value, minimum) in limits.items():
        if value < minimum:
            raise DataError(f"{name} must be at least {minimum}; got {value}")


def import_package(name: str, install: str) -> ModuleType:
    """Import an optional package. Raises `DataError` with the command `install` if it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise DataError(f"{name} is missing: {install}") from error


def run_in_parallel(
    tasks: Sequence[Callable[[], None]], num_workers: int, desc: str, tasks_per_process: int | None = None
) -> None:
    """Call `tasks` in `num_workers` processes, each replaced after `tasks_per_process` tasks, with a progress bar."""
    with multiprocessing.get_context("spawn").Pool(num_workers, maxtasksperchild=tasks_per_process) as pool:
        for _ in tqdm(
            pool.imap_unordered(operator.call, tasks), total=len(tasks), desc=desc, unit="task", disable=None
        ):
            pass


def run_command(write: Callable[..., None], parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> None:
    """Run `write` with the options of `parser` and those that all writers have."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--output_dir", type=Path, required=True, help="new folder for the dataset")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--num_workers", type=int, default=2, help="number of processes (default: %(default)s)")
    arguments = vars(parser.parse_args(argv))
    with errors_in_one_line("nothing was written"):
        write(**arguments)
        print(f"Wrote {arguments['output_dir']}")
