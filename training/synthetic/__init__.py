"""Data sets made by a program, in the layouts of the real ones, for trying the training without a download."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from training.data.source import SYNTHETIC_MARK
from training.errors import DataError

DEFAULT_VOICES = 300


@dataclass(frozen=True)
class StandIn:
    """What `--synthetic` makes in place of a data set, and for how long it is trained on."""

    write: Callable[[Path], Path]
    num_epochs: int  # at most; together with making the data this is a quarter of an hour on 2 CPU cores


def _write_speech(folder: Path) -> Path:
    from training.synthetic.speech import write_spoken_commands

    return write_spoken_commands(folder, num_voices=DEFAULT_VOICES)


def _write_music(folder: Path) -> Path:
    from training.synthetic.music import write_music

    return write_music(folder)


def _write_scenes(folder: Path) -> Path:
    from training.synthetic.scenes import write_scenes

    return write_scenes(folder)


# By the name of the source that reads them.
STAND_INS = {
    "dcase2017": StandIn(_write_scenes, num_epochs=5),
    "magnatagatune": StandIn(_write_music, num_epochs=4),
    "magnatagatune-26k": StandIn(_write_music, num_epochs=4),
    "speech_commands": StandIn(_write_speech, num_epochs=16),
}


def ensure_stand_in(source: str, folder: Path) -> None:
    """Make the synthetic data of `source` in `folder`, if it is not there yet. Processes wait for each other.

    Raises:
        DataError: other data are there, or a package is missing that makes them.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if not folder.exists():
            STAND_INS[source].write(folder)
    if not (folder / SYNTHETIC_MARK).is_file():
        raise DataError(f"{folder} was not made by --synthetic: leave out --data_dir, or give a new folder")
