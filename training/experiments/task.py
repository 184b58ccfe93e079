"""The dataset and recipe of an experiment: the paper's tasks, synthetic versions of them, or the user's own data."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from training.data import SOURCES
from training.data.folds import Repetition, load_folds, repeat_by_fold, repeat_by_seed
from training.data.source import Clip, Source
from training.errors import DataError, RecipeError
from training.options import option
from training.paper import paper_score
from training.recipe import Recipe

RECIPES = Path(__file__).parents[1] / "recipes"
PAPER_TASKS = {
    "magnatagatune": RECIPES / "mtt" / "paper.yaml",
    "speech_commands": RECIPES / "speech_commands" / "paper.yaml",
    "dcase2017": RECIPES / "dcase2017" / "paper.yaml",
}
NUM_QUICK_CLIPS = 24  # per split, or the number of labels if that is larger
QUICK_CHANGES = {"num_epochs": 1, "max_segments": 1, "batch_size": 8, "paper_counts": False}


@dataclass(frozen=True)
class TaskOptions:
    """Options that choose the data and the recipe."""

    tasks: list[str] | None = option(
        None, f"the paper's tasks to run: {', '.join(PAPER_TASKS)} (default: those of the figure or table)"
    )
    synthetic: bool = option(False, "train on synthetic versions of the datasets, which are generated first")
    source: Literal[*sorted(SOURCES)] | None = option(None, "kind of dataset, for other data, such as folder")
    data_dir: str | None = option(None, "folder that holds the data (default: data/TASK)")
    recipe: str | None = option(None, "YAML file, for other data or to replace the paper's recipe")
    num_epochs: int | None = option(None, "maximum number of epochs (default: the recipe's)")
    folds: bool = option(
        False, "hold out one fold per run; file names must start with the fold's number: <class>/2-dog.wav"
    )
    quick: bool = option(False, "one seed, one epoch, a few clips: checks only that the command works")
    threads: int | None = option(None, "number of CPU threads (default: all cores)")
    cache_dir: str | None = option(None, "folder for the decoded clips (default: in the cache of `datasets`)")
    runs_dir: str = option("runs/experiments", "folder of the training runs (default: runs/experiments)")


@dataclass(frozen=True, eq=False)
class Task:
    """A dataset, and the recipe that all networks of an experiment are trained with.

    Attributes:
        recipe: the recipe of all networks; `variant` gives their family, `output_dir` the folder of all runs.
        quick: whether to train on a few clips only, to check that the command works.
        by_fold: whether to cross-validate, with one run per fold instead of one per seed.
    """

    recipe: Recipe
    quick: bool = False
    by_fold: bool = False

    @property
    def name(self) -> str:
        """Name of the folders of runs and results, different for all data that must not be mixed."""
        own = self.recipe.source in ("folder", "hub")
        name = re.sub(r"[^\w.-]+", "-", Path(self.recipe.data_dir).absolute().name) if own else self.recipe.source
        return name + "-synthetic" * self.recipe.synthetic + "-quick" * self.quick

    def variant(self, block_type: str, suffix: str = "") -> str:
        """Name of a network of this task's family, such as `se-8`."""
        return f"{block_type}-{self.family}{suffix}"

    @property
    def family(self) -> str:
        """Number of blocks in the name of the recipe's variant: 9 for music, 8 for clips of one second."""
        family = (self.recipe.variant or "").partition("-")[2][:1]
        if self.recipe.pretrained or family not in ("8", "9"):
            raise RecipeError(
                "the recipe must name a network of the paper's families, such as `variant: se-8` or se-9"
            )
        return family

    @cached_property
    def source(self) -> Source:
        """The labeled clips; of the first fold, if cross-validated. Synthetic clips are generated if missing.

        Raises:
            DataError: there are no clips; the message tells how to get them.
        """
        recipe = self.recipe
        if self.by_fold:
            return next(iter(self.folds.values()))
        if not recipe.synthetic and recipe.source in PAPER_TASKS and not Path(recipe.data_dir).is_dir():
            raise DataError(
                f"{recipe.data_dir} is missing: python -m training.download {recipe.source} --data_dir "
                f"{recipe.data_dir} gets the data; --data_dir names another folder, --synthetic generates a stand-in"
            )
        return self._quick_subset(recipe.load_source())

    @cached_property
    def folds(self) -> dict[str, Source]:
        """The clips of each fold held out. Raises `DataError` for data without folds."""
        folds = load_folds(self.recipe.source, self.recipe.data_dir)
        return {fold: self._quick_subset(source) for fold, source in folds.items()}

    def _quick_subset(self, source: Source) -> Source:
        if not self.quick:
            return source
        count = max(NUM_QUICK_CLIPS, len(source.labels))
        return replace(source, splits={split: few_clips(clips, count) for split, clips in source.splits.items()})

    def repetitions(self, num_seeds: int) -> list[Repetition]:
        """The runs of each network: one per fold or seed."""
        if self.by_fold:
            return repeat_by_fold(self.folds, self.recipe.schedule)
        return repeat_by_seed(self.source, num_seeds)

    def paper_score(self, variant: str) -> float | None:
        """The paper's score of a network (Fig. 6): the mean of three runs with the recipe `paper`."""
        recipe = self.recipe
        return paper_score(recipe.source, variant, recipe.model_kwargs, recipe.do_normalize)


def few_clips(clips: Sequence[Clip], count: int) -> list[Clip]:
    """At most `count` clips, starting with those that add a new label."""
    seen, new, other = set(), [], []
    for clip in clips:
        (other if seen.issuperset(clip.labels) else new).append(clip)
        seen.update(clip.labels)
    return (new + other)[:count]


def chosen_tasks(options: TaskOptions, default: Iterable[str] = PAPER_TASKS) -> list[Task]:
    """Create the tasks that the options select: the paper's, or one with the given `source` or `recipe`.

    Raises:
        RecipeError: an unknown task, or options that exclude each other.
        DataError: the data are missing.
    """
    if options.source or options.recipe:
        if options.tasks:
            raise RecipeError("--tasks names the paper's tasks: leave it out with --source or --recipe")
        tasks = [_create_task(options, options.recipe, options.source)]
    else:
        names = options.tasks or list(default)
        if unknown := [name for name in names if name not in PAPER_TASKS]:
            raise RecipeError(
                f"there is no task {unknown[0]!r}: choose from {', '.join(PAPER_TASKS)}, or give --source folder"
            )
        if options.data_dir and len(names) > 1:
            raise RecipeError("--data_dir holds the data of one task: name the task with --tasks")
        tasks = [_create_task(options, PAPER_TASKS[name], data_dir=f"data/{name}") for name in names]
    for task in tasks:  # errors are raised now, not after hours of training
        _ = task.family, task.source
    return tasks


def _create_task(
    options: TaskOptions, recipe: str | Path | None, source: str | None = None, data_dir: str | None = None
) -> Task:
    changes = {
        "source": source,
        "synthetic": options.synthetic or None,
        "data_dir": options.data_dir or (None if options.synthetic else data_dir),
        "num_epochs": options.num_epochs,
        "threads": options.threads,
        "cache_dir": options.cache_dir,
        "output_dir": options.runs_dir,
    }
    recipe = Recipe.load(recipe, **{name: value for name, value in changes.items() if value is not None})
    task = Task(recipe, options.quick, options.folds)
    if options.quick:  # the few clips must not replace the prepared dataset
        recipe = replace(recipe, **QUICK_CHANGES, cache_dir=str(Path(options.runs_dir, task.name, "prepared")))
    return replace(task, recipe=recipe)
