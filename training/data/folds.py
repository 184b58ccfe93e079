"""Folds of a folder for cross-validation, and repetitions: the runs that a score is averaged over."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from training.data.source import Source
from training.data.sources.folder import make_source, read_class_folders
from training.errors import DataError, RecipeError

FOLD_PREFIX = "folder-fold"  # of the name of a source with one fold held out


@dataclass(frozen=True, eq=False)
class Repetition:
    """One of several runs with the same network and recipe but for the seed, or the fold that is held out."""

    name: str  # "seed0", "fold2", ...; names the folder of the run
    source: Source  # a fold that is held out is its validation split
    options: dict  # changes to the recipe


def repeat_by_seed(source: Source, num_seeds: int) -> list[Repetition]:
    """The same clips with the seeds 0 to `num_seeds` - 1."""
    return [Repetition(f"seed{seed}", source, {"seed": seed}) for seed in range(num_seeds)]


def repeat_by_fold(folds: Mapping[str, Source], schedule: str) -> list[Repetition]:
    """
    One repetition per fold of `load_folds`. Nothing, not even the epoch, is chosen on the fold held out.

    Raises:
        RecipeError: the schedule follows the scores of the fold held out.
    """
    if schedule == "plateau":
        raise RecipeError("cross-validation needs --schedule cosine: plateau follows the scores of the fold held out")
    return [Repetition(f"fold{fold}", source, {"keep": "last"}) for fold, source in folds.items()]


def load_folds(source_name: str, data_dir: str | Path) -> dict[str, Source]:
    """List class folders whose file names start with the number of their fold (`2-dog.wav`).

    Args:
        source_name: name of the dataset; only "folder" has folds.
        data_dir: folder that holds the class folders.

    Returns:
        For each fold, by its number, a source with that fold as the validation split and the others for training.

    Raises:
        DataError: another dataset, no such folder, no audio, a file without a fold, fewer than two folds, or a class
            that is missing from the training split of a fold.
    """
    if source_name != "folder":
        raise DataError(f"{source_name} has no folds: cross-validation needs --source folder")
    data_dir = Path(data_dir).absolute()
    if not data_dir.is_dir():
        raise DataError(f"{data_dir} is not a folder: give the folder that holds the data")
    examples = list(read_class_folders(data_dir))
    folds = sorted({_fold_number(path) for path, _ in examples})
    if len(folds) < 2:
        raise DataError(f"{data_dir} has fewer than two folds: name the files <class>/1-dog.wav, <class>/2-dog.wav")
    sources = {}
    for fold in folds:
        splits = {"train": [], "validation": []}
        for path, class_name in examples:
            splits["validation" if _fold_number(path) == fold else "train"].append((path, class_name))
        sources[fold] = make_source(f"{FOLD_PREFIX}{fold}", data_dir, splits)
    return sources


def _fold_number(path: Path) -> str:
    fold, separator, _ = path.name.partition("-")
    if not (separator and fold.isdecimal()):
        raise DataError(f"{path} does not start with a fold number and a hyphen: rename it, for example 2-dog.wav")
    return fold
