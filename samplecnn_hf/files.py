"""Write files and folders atomically: they appear only when they are complete."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replace_when_complete(path: Path) -> Iterator[Path]:
    """
    Yield a temporary path on the same file system, where the block writes a file or a folder of the same name.

    It is renamed to `path` when the block ends without an error, and removed otherwise. A file (or a link) at `path`
    is replaced. The temporary path is in a new hidden folder beside `path`, with a random name that ends in
    `.unfinished`, so that nothing is written through a link and processes do not disturb each other. Only a killed
    process leaves the folder behind.

    Raises:
        OSError: `path` cannot be written, or is a folder that is not empty. What was there before is unchanged.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".", suffix=".unfinished") as folder:
        temporary = Path(folder) / path.name
        yield temporary
        temporary.replace(path)


def write_file(path: Path, content: str | bytes) -> Path:
    """
    Write a file with `replace_when_complete` and return its path. Text is encoded as UTF-8.

    Raises:
        OSError: the file cannot be written. What was there before is unchanged.
    """
    with replace_when_complete(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
