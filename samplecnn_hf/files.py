"""Audio suffixes, locations and digests of models, and files and folders that appear only when they are complete."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .text import one_line

# What libsndfile reads and, with PyAV, .m4a, .aac and .webm.
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".opus", ".m4a", ".aac", ".webm")


def is_audio(path: str | os.PathLike) -> bool:
    """Whether a file that is not hidden has one of `AUDIO_SUFFIXES`."""
    name = os.path.basename(path)
    return name.lower().endswith(AUDIO_SUFFIXES) and not name.startswith(".")


def check_location(model_id: str | os.PathLike):
    """Raise `OSError` for the folder of a model that does not exist or lacks its JSON files."""
    path = Path(model_id)
    if path.is_dir():
        for name in ("config.json", "preprocessor_config.json"):
            if not (path / name).is_file():  # transformers would take the default configuration
                raise OSError(one_line(f"{model_id} has no {name}: give the folder of a trained model"))
    elif path.exists() or path.parent.is_dir() or path.is_absolute() or str(model_id).count("/") != 1:
        raise OSError(one_line(f"there is no model in {model_id}: give the folder of a trained model, or a Hub id"))


def model_digest(model: str | Path) -> str | None:
    """Identifies the weights, config and extractor in a folder, or an exported file. None: it is not local."""
    path = Path(model)
    names = ("model.safetensors", "config.json", "preprocessor_config.json")
    files = [path / name for name in names] if path.is_dir() else [path]
    if not all(file.is_file() for file in files):
        return None
    return hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()


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
