"""The sources that have a synthetic dataset, and the data themselves when they are needed."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from filelock import FileLock

from training.data.source import SYNTHETIC_MARK
from training.errors import DataError


@dataclass(frozen=True)
class SyntheticSource:
    """The data that `--synthetic` generates for a source, and its maximum number of training epochs."""

    write: Callable[[Path], None]
    num_epochs: int  # generating the data and training on them take 15 minutes on 2 CPU cores


def _lazy(module: str, function: str, **options) -> Callable[[Path], None]:
    """Import a writer when it is called: the synthesizers are rarely needed and slow to import."""
    return lambda folder: getattr(import_module(f"training.synthetic.{module}"), function)(folder, **options)


# By the name of the source that reads the data.
SYNTHETIC_SOURCES = {
    "dcase2017": SyntheticSource(_lazy("scenes", "write_scenes"), num_epochs=5),
    "magnatagatune": SyntheticSource(_lazy("music", "write_music"), num_epochs=4),
    "magnatagatune-26k": SyntheticSource(_lazy("music", "write_music"), num_epochs=4),
    "speech_commands": SyntheticSource(_lazy("speech", "write_spoken_commands", num_voices=300), num_epochs=16),
}


def ensure_synthetic_data(source: str, folder: Path) -> None:
    """Generate the synthetic data of `source` in `folder`, unless they exist. Processes wait for each other.

    Raises:
        DataError: `folder` holds other data, or a package that generates the data is missing.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if not folder.exists():
            SYNTHETIC_SOURCES[source].write(folder)
    if not (folder / SYNTHETIC_MARK).is_file():
        raise DataError(f"{folder} was not made by --synthetic: leave out --data_dir, or give a new folder")
