"""The data sets the training knows, by name."""

from pathlib import Path

from training.data.folds import FOLD_PREFIX, load_fold
from training.data.source import Source, check_text
from training.data.sources import dcase2017, folder, hub, magnatagatune, million_song, speech_commands
from training.errors import DataError

SOURCES = {
    "dcase2017": dcase2017.load,
    "folder": folder.load,
    "hub": hub.load,
    "magnatagatune": magnatagatune.load,
    "magnatagatune-26k": magnatagatune.load_26k,
    "million_song": million_song.load,
    "speech_commands": speech_commands.load,
}


def load_source(name: str, data_dir: str | Path) -> Source:
    """List the labelled clips of data set `name` (a key of `SOURCES`) found in the folder `data_dir`.

    For `hub` it may also be the id of a data set on the Hub. `folder-fold2` is a folder whose fold 2 is held out, the
    source of a cross-validated network.

    Raises:
        DataError: unknown name, no such folder or fold, a path that is not UTF-8 text, or whatever the data set's own
            loader finds wrong.
    """
    if name not in SOURCES and not name.startswith(FOLD_PREFIX):
        raise DataError(f"unknown data set {name!r}: choose one of {', '.join(sorted(SOURCES))}")
    check_text(str(data_dir), "data_dir")
    if name == "hub":
        return hub.load(str(data_dir))
    if not Path(data_dir).is_dir():
        raise DataError(f"{data_dir} is not a folder: give the folder that holds the data")
    if name.startswith(FOLD_PREFIX):
        return load_fold(name, Path(data_dir).absolute())
    return SOURCES[name](Path(data_dir).absolute())
