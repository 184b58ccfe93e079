"""Files that are written whole or not at all."""

import tempfile
from pathlib import Path


def write_file(path: Path, content: str | bytes) -> Path:
    """
    Write a file under a temporary name in its own folder, then rename it; returns its path.

    The temporary name is new, in a hidden folder that is made exclusively, so nothing is written through a link. A
    link at `path` is replaced, not followed.

    Raises:
        OSError: the file cannot be written; what was there before is still there.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-") as folder:
        temporary = Path(folder) / "file"
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        return temporary.replace(path)
