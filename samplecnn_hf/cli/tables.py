"""
Rows of results on the screen and in files.

A row is a dict with the name of the audio file as "file"; a file that could not be read has one row with "error".
"""

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from ..text import printable

FORMATS = (".csv", ".jsonl", ".parquet")
TEXT = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}  # also file names that are not UTF-8
Rows = Iterable[dict]


def check_output(path: Path, files: list[str]):
    """
    Check the file that the results for audio files are written to, before there are any.

    Raises:
        ValueError: The suffix is unknown, or Parquet cannot hold the name of a file.
        OSError: The folder does not exist.
        ImportError: pyarrow, which writes Parquet, is not installed.
    """
    if path.suffix not in FORMATS:
        raise ValueError(f"--output {path} has an unknown suffix: give one of {', '.join(FORMATS)}")
    if path.is_dir():
        raise OSError(f"{path} is a folder: give the file to write")
    if not path.parent.is_dir():
        raise OSError(f"there is no folder {path.parent}: create it")
    if path.suffix == ".parquet":
        _import_pyarrow()
        for file in files:
            if any("\ud800" <= character <= "\udfff" for character in file):
                raise ValueError(f"the name {printable(file)} is not UTF-8, as Parquet needs: write a .csv or .jsonl")


def write_table(path: Path, rows: Rows, columns: list[str]):
    """Write rows in the format of the suffix."""
    if path.suffix == ".parquet":
        return _write_parquet(path, [list(rows)], columns)
    with path.open("w", **TEXT) as file:
        if path.suffix == ".jsonl":
            file.writelines(f"{to_json(row)}\n" for row in rows)
            return None
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _shorten(value) for name, value in row.items()} for row in rows)


def concatenate(parts: list[Path], path: Path, columns: list[str]) -> int:
    """Write the rows of tables of one format to `path`, and return how many of them are errors."""
    num_errors = 0

    def count(rows: Rows) -> Iterator[dict]:
        nonlocal num_errors
        for row in rows:
            num_errors += bool(row.get("error"))
            yield row

    if path.suffix == ".parquet":
        _write_parquet(path, (list(count(_read(part))) for part in parts), columns)
    else:
        write_table(path, count(chain.from_iterable(map(_read, parts))), columns)
    return num_errors


def _read(path: Path) -> Iterator[dict]:
    if path.suffix == ".parquet":
        yield from _import_pyarrow().parquet.read_table(path).to_pylist()
        return
    with path.open(**TEXT) as file:
        yield from csv.DictReader(file) if path.suffix == ".csv" else map(json.loads, file)


def parquet_schema(columns: list[str]):
    """
    The pyarrow schema of rows.

    Raises:
        ImportError: pyarrow is not installed.
    """
    pyarrow = _import_pyarrow()
    numbers = {"start": pyarrow.float64(), "end": pyarrow.float64(), "score": pyarrow.float32()}
    types = {"embedding": pyarrow.list_(pyarrow.float32()), **numbers}
    return pyarrow.schema([(name, types.get(name, pyarrow.string())) for name in columns])


def _write_parquet(path: Path, groups: Iterable[list[dict]], columns: list[str]):
    pyarrow, schema = _import_pyarrow(), parquet_schema(columns)
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for rows in groups:
            writer.write_table(pyarrow.Table.from_pylist(rows, schema))


def _import_pyarrow():
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError("Parquet needs pyarrow: pip install 'samplecnn-hf[parquet]'") from error
    return pyarrow


def to_json(row: dict) -> str:
    """A row on one line of JSON."""
    return json.dumps({name: _shorten(value) for name, value in row.items()}, ensure_ascii=False)


def _shorten(value):
    """Numbers with the precision of float32."""
    if isinstance(value, list):
        return [_shorten(item) for item in value]
    return float(f"{value:.7g}") if isinstance(value, float) else value


def print_rows(rows_of_files: Iterable[list[dict]]) -> int:
    """
    Print the rows of each file: a table on a terminal, otherwise one line of JSON per row.

    Returns the number of errors, which are not printed.
    """
    num_errors = 0
    for rows in rows_of_files:
        if rows and "error" in rows[0]:
            num_errors += 1
        elif not sys.stdout.isatty() or any("embedding" in row for row in rows):
            print(*map(to_json, rows), sep="\n", end="\n" if rows else "", flush=True)
        else:
            print(*_readable(rows), sep="\n", end="\n" if rows else "", flush=True)
    return num_errors


def _readable(rows: list[dict]) -> Iterator[str]:
    for row in rows[:1]:
        yield row["file"]
    for row in rows:
        time = f"{row['start']:9.2f} {row['end']:9.2f} s" if "start" in row else ""
        yield f"{time}  {row['score']:.3f}  {row['label']}"
