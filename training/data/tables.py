"""Tables that list the audio of a large data set."""

import csv
from collections import Counter
from pathlib import Path

from training.errors import DataError


def read_rows(path: Path, delimiter: str) -> list[tuple[int, list[str]]]:
    """Read a UTF-8 table: the line number and the cells of each row, a header included; blank lines are left out.

    Raises:
        DataError: the table is missing, empty or not UTF-8 text, or its rows are not of one length.
    """
    if not path.is_file():
        raise DataError(f"{path} is missing or not a file: it comes with the data set; give the folder that holds it")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter)
            rows = [(reader.line_num, cells) for cells in reader if cells]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a table in UTF-8 text ({error}): download it again") from error
    if not rows:
        raise DataError(f"{path} has no rows: download it again")
    num_columns = len(rows[0][1])
    uneven = [(line, len(cells)) for line, cells in rows if len(cells) != num_columns]
    problems = [f"row {line} has {count} columns instead of {num_columns}" for line, count in uneven]
    refuse_rows(problems, path, "correct the row")
    refuse_null_bytes(rows, path)
    return rows


def refuse_null_bytes(rows: list[tuple[int, list[str]]], path: Path) -> None:
    """Raise `DataError` for null bytes, which no file name can hold, in `rows` of the table `path`."""
    faulty = [f"row {line} holds a null byte" for line, cells in rows if any("\0" in cell for cell in cells)]
    refuse_rows(faulty, path, "save the table again as text")


def check_names(names: list[str], where: Path) -> None:
    """Check that every one of `names`, paths of audio in the table `where`, is listed once and stays in its folder.

    Raises:
        DataError: a name is listed twice, or leads elsewhere.
    """
    repeated = [name for name, count in Counter(names).items() if count > 1]
    refuse_rows([f"{name!r} is listed more than once" for name in repeated], where, "keep one of its rows")
    outside = [
        name for name in names if name.startswith("/") or ".." in name.split("/") or "\\" in name or ":" in name
    ]
    refuse_rows([f"{name!r} leads out of the folder" for name in outside], where, "correct the path")


def refuse_rows(problems: list[str], where: Path | str, advice: str) -> None:
    """Raise a `DataError` of one line that names the first of `problems` and counts the others, if there are any."""
    if problems:
        more = f" (and {len(problems) - 1:,} more like it)" if len(problems) > 1 else ""
        raise DataError(f"{where}: {problems[0]}{more}: {advice}")


def audio_folder(data_dir: Path) -> Path:
    """Find the folder that the paths of a table start from: `mp3` where there is one, else `data_dir` itself."""
    return data_dir / "mp3" if (data_dir / "mp3").is_dir() else data_dir
