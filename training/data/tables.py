"""Read the tables that list the audio of a dataset, and report their faults in one line."""

import csv
from collections import Counter
from pathlib import Path, PurePath

from training.errors import DataError


def read_table(path: Path, delimiter: str = ",") -> list[tuple[int, list[str]]]:
    """Read a table in UTF-8: line number and cells of each row, including the header; blank lines are skipped.

    Raises:
        DataError: the table is missing, empty, not UTF-8 text or has null bytes, or its rows differ in length.
    """
    if not path.is_file():
        raise DataError(f"{path} is missing or not a file: give the folder that holds the dataset and its tables")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter)
            rows = [(reader.line_num, cells) for cells in reader if cells]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a table in UTF-8 text ({error}): save it as UTF-8 or get it again") from error
    if not rows:
        raise DataError(f"{path} has no rows: write one row per clip, or download the table again")
    num_columns = len(rows[0][1])
    counts = [(line, len(cells)) for line, cells in rows]
    uneven = [f"row {line} has {n} columns instead of {num_columns}" for line, n in counts if n != num_columns]
    raise_if_any(uneven, path, "correct the row")
    # A null byte cannot be part of a file name.
    with_null = [f"row {line} holds a null byte" for line, cells in rows if any("\0" in cell for cell in cells)]
    raise_if_any(with_null, path, "save the table again as text")
    return rows


def check_paths(paths: list[str], where: Path) -> None:
    """Check the relative paths of audio files that the table or folder `where` lists.

    Raises:
        DataError: a path is listed twice, or leads out of the folder of the dataset.
    """
    repeated = [path for path, count in Counter(paths).items() if count > 1]
    raise_if_any([f"{path!r} is listed more than once" for path in repeated], where, "keep one of its rows")
    outside = [path for path in paths if PurePath(path).anchor or ".." in PurePath(path).parts]
    raise_if_any([f"{path!r} leads out of the folder" for path in outside], where, "correct the path")


def raise_if_any(problems: list[str], where: Path | str, advice: str) -> None:
    """Raise a `DataError` of one line with the first of `problems` and the number of others, if there are any."""
    if problems:
        more = f" (and {len(problems) - 1:,} more like it)" if len(problems) > 1 else ""
        raise DataError(f"{where}: {problems[0]}{more}: {advice}")


def audio_folder(data_dir: Path) -> Path:
    """The folder that the paths in a table are relative to: `mp3` if it exists, otherwise `data_dir`."""
    return data_dir / "mp3" if (data_dir / "mp3").is_dir() else data_dir
