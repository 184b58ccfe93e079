"""
Results written to a file, by a job that continues where it was interrupted.

While results.csv is computed, results.csv.parts holds the rows of the first files in parts, each written once under a
temporary name and renamed, and job.json, the options. At the end the parts become results.csv.
"""

import hashlib
import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

from ..files import replace_when_complete, write_file
from .tables import check_output, concatenate, write_table

PART_SECONDS = 60  # of work per part: what an interruption costs at most
PART_ROWS = 10_000  # in memory; of embeddings, 160 MB


class Job:
    """
    Computes the rows of files and writes them to one table.

    Args:
        output: File to write: .csv, .jsonl or .parquet.
        files: Names of the audio files.
        columns: Names of the columns.
        options: Everything that determines the rows, for JSON; an interrupted job with other options is refused.
    """

    def __init__(self, output: Path, files: list[str], columns: list[str], options: dict):
        check_output(output, files)
        self.output, self.files, self.columns = output, files, columns
        self.folder = output.with_name(f"{output.name}.parts")
        digest = hashlib.sha256("\0".join(files).encode(errors="surrogateescape")).hexdigest()
        self.record = json.loads(json.dumps({**options, "number of files": len(files), "names of the files": digest}))

    def run(self, answer: Callable[[list[str]], Iterable[list[dict]]]) -> int:
        """
        Compute what is missing and write the table.

        Args:
            answer: Called with names of files; yields a list of rows for each.

        Returns:
            The number of files that could not be read.

        Raises:
            ValueError: There are parts of a job with other options or files.
            OSError: The table cannot be written, or the job runs already.
        """
        from filelock import FileLock, Timeout  # a requirement of huggingface_hub

        self.folder.mkdir(exist_ok=True)
        try:
            with FileLock(self.folder / "lock", timeout=0):
                self._check_record()
                self._compute(answer)
                with replace_when_complete(self.output) as temporary:
                    num_errors = concatenate([path for _, path in self._parts()], temporary, self.columns)
                self._remove()
        except Timeout as error:
            raise OSError(f"another process is writing {self.output}: wait for it") from error
        return num_errors

    def _check_record(self):
        path = self.folder / "job.json"
        if not path.exists() or not any(self._parts()):
            write_file(path, json.dumps(self.record, indent=1))
        recorded = json.loads(path.read_text(encoding="utf-8"))
        if other := sorted(
            name for name in recorded.keys() | self.record.keys() if recorded.get(name) != self.record.get(name)
        ):
            raise ValueError(
                f"{self.folder} holds an unfinished job with other {', '.join(other)}: repeat its command to continue "
                "it, or remove the folder to start over"
            )

    def _compute(self, answer):
        start = max((stop for stop, _ in self._parts()), default=0)
        if start:
            print(f"continuing after {start} of {len(self.files)} files", file=sys.stderr)
        part, began = [], time.monotonic()
        try:
            for rows in answer(self.files[start:]) if start < len(self.files) else ():
                part.append(rows)
                if sum(map(len, part)) >= PART_ROWS or time.monotonic() - began >= PART_SECONDS:
                    start = self._write_part(start, part)
                    part, began = [], time.monotonic()
        finally:  # also after Ctrl-C
            if part:
                start = self._write_part(start, part)
            if start == 0:
                self._remove()

    def _write_part(self, start: int, part: list[list[dict]]) -> int:
        stop = start + len(part)
        with replace_when_complete(self.folder / f"{start:09}-{stop:09}{self.output.suffix}") as temporary:
            write_table(temporary, chain.from_iterable(part), self.columns)
        return stop

    def _parts(self) -> Iterator[tuple[int, Path]]:
        """Yield the number of files up to the end of each part, and its path, in order."""
        for path in sorted(self.folder.iterdir()):
            if name := re.fullmatch(rf"\d+-(\d+){re.escape(self.output.suffix)}", path.name):
                yield int(name[1]), path

    def _remove(self):
        shutil.rmtree(self.folder)
