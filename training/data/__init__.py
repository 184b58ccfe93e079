"""The supported datasets, by name."""

from functools import partial
from pathlib import Path

from training.data.folds import FOLD_PREFIX, load_folds
from training.data.source import Source, check_name
from training.data.sources import dcase2017, folder, hub, magnatagatune, million_song, speech_commands
from training.errors import DataError

SOURCES = {
    "dcase2017": dcase2017.load,
    "folder": folder.load,
    "folder-all": partial(folder.load, all_clips=True),
    "hub": hub.load,
    "magnatagatune": magnatagatune.load,
    "magnatagatune-26k": partial(magnatagatune.load, all_clips=True),
    "million_song": million_song.load,
    "speech_commands": speech_commands.load,
}


def load_source(name: str, data_dir: str | Path) -> Source:
    """List the labeled clips of a dataset.

    Args:
        name: a key of `SOURCES`, or `folder-fold2` for a folder with fold 2 held out.
        data_dir: folder that holds the dataset; for `hub`, it may be the id of a dataset on the Hub.

    Raises:
        DataError: unknown name, no such folder or fold, a path that is not UTF-8 text, or an error of the dataset's
            own loader.
    """
    if name not in SOURCES and not name.startswith(FOLD_PREFIX):
        raise DataError(f"unknown dataset {name!r}: choose one of {', '.join(sorted(SOURCES))}")
    check_name(str(data_dir), "data_dir")
    if name == "hub":
        return hub.load(str(data_dir))
    if name.startswith(FOLD_PREFIX):
        folds, fold = load_folds("folder", data_dir), name.removeprefix(FOLD_PREFIX)
        if fold not in folds:
            raise DataError(f"{data_dir} has no fold {fold!r}: choose one of {', '.join(folds)}")
        return folds[fold]
    if not Path(data_dir).is_dir():
        raise DataError(f"{data_dir} is not a folder: give the folder that holds the data")
    return SOURCES[name](Path(data_dir).absolute())
