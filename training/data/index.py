"""Tables that list the audio of a large data set, and whether that audio is there."""

import csv
import os
from collections import Counter
from pathlib import Path

from training.data.source import DataError


def read_rows(path: Path, delimiter: str) -> list[tuple[int, list[str]]]:
    """Read a UTF-8 table: the line number and the cells of each row, a header included; blank lines are left out.

    Raises:
        DataError: the table is missing, empty or not UTF-8 text, or its rows are not of one length.
    """
    if not path.is_file():
        raise DataError(f"{path} is missing: it comes with the data set; give the folder that holds it")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter)
            rows = [(reader.line_num, cells) for cells in reader if cells]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a table in UTF-8 text ({error}): download it again") from error
    if not rows:
        raise DataError(f"{path} has no rows: download it again")
    num_columns = len(rows[0][1])
    for line, cells in rows:
        if len(cells) != num_columns:
            raise DataError(f"{path}, row {line}: {len(cells)} columns instead of {num_columns}: correct the row")
    return rows


def list_files(folder: Path) -> set[str]:
    """List the files below `folder`, as paths relative to it with forward slashes."""
    found = set()
    for directory, _, names in os.walk(folder):
        prefix = (Path(directory).relative_to(folder).as_posix() + "/").removeprefix("./")
        found.update(prefix + name for name in names)
    return found


def check_files(folder: Path, names: list[str]) -> None:
    """Check that every one of `names` is a file below `folder`, and is listed once.

    One walk over the folder tells: asking the disk for each of 200,000 files takes far longer. A name that leads out
    of the folder is not met on that walk, so it is refused as missing.

    Raises:
        DataError: a name is listed twice, or files are missing.
    """
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise DataError(f"{repeated[0]!r} is listed more than once: keep one of its rows")
    found = list_files(folder)
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(
            f"{len(missing):,} of {len(names):,} listed files are not in {folder}, first of all {missing[0]!r}: "
            "unpack all of the audio there"
        )


def audio_folder(data_dir: Path) -> Path:
    """Find the folder that the paths of a table start from: `mp3` where there is one, else `data_dir` itself."""
    return data_dir / "mp3" if (data_dir / "mp3").is_dir() else data_dir
