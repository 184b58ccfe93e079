"""On which data an experiment runs, and by which recipe: the paper's tasks, their stand-ins, or your own data."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from training.data import load_source
from training.data.folds import Repetition, load_folds, repeat_by_fold, repeat_by_seed
from training.data.source import Clip, Source
from training.errors import DataError, RecipeError
from training.paper import paper_score
from training.recipe import Recipe, parse_recipe
from training.synthetic import ensure_stand_in

RECIPES = Path(__file__).parents[1] / "recipes"
PAPER_TASKS = {
    "magnatagatune": RECIPES / "mtt" / "paper.yaml",
    "speech_commands": RECIPES / "speech_commands" / "paper.yaml",
    "dcase2017": RECIPES / "dcase2017" / "paper.yaml",
}
QUICK_CLIPS = 24  # of each split, or as many as there are labels
QUICK_OPTIONS = {"num_epochs": 1, "max_segments": 1, "batch_size": 8, "paper_counts": False}


@dataclass(frozen=True, eq=False)
class Task:
    """A data set and the recipe by which every network of an experiment is trained on it.

    Attributes:
        recipe: for all networks and seeds; its variant tells the family.
        quick: a few clips, one epoch: shows that the command works, and nothing else.
        by_fold: cross-validated, one run a fold in place of one a seed.
    """

    recipe: Recipe
    quick: bool = False
    by_fold: bool = False

    @property
    def name(self) -> str:
        """Of the folders of runs and results: what must not be mixed has different names."""
        own = self.recipe.source in ("folder", "hub")
        name = re.sub(r"[^\w.-]+", "-", Path(self.recipe.data_dir).absolute().name) if own else self.recipe.source
        return name + "-synthetic" * self.recipe.synthetic + "-quick" * self.quick

    def network(self, block_type: str, form: str = "") -> str:
        """Name of a network of this task's family, such as `se-8`."""
        return f"{block_type}-{self.family}{form}"

    @property
    def family(self) -> str:
        """9 for music, 8 for one second: the number of blocks in the name of the recipe's variant."""
        family = self.recipe.variant.partition("-")[2][:1]
        if self.recipe.pretrained or family not in ("8", "9"):
            raise RecipeError(
                "the recipe must name a network of the paper's families, such as `variant: se-8` or se-9"
            )
        return family

    @cached_property
    def source(self) -> Source:
        """The labelled clips; synthetic ones are made first, if they are not there yet.

        Raises:
            DataError: there are none; the message tells how to get them.
        """
        recipe = self.recipe
        if self.by_fold:
            return next(iter(self.folds.values()))
        if recipe.synthetic:
            ensure_stand_in(recipe.source, Path(recipe.data_dir))
        elif recipe.source in PAPER_TASKS and not Path(recipe.data_dir).is_dir():
            raise DataError(
                f"{recipe.data_dir} is not there: python -m training.download {recipe.source} --data_dir "
                f"{recipe.data_dir} gets the data; --data_dir names another folder, --synthetic makes a stand-in"
            )
        return self._as_asked(load_source(recipe.source, recipe.data_dir))

    @cached_property
    def folds(self) -> dict[str, Source]:
        """Raises `DataError` for data without folds."""
        folds = load_folds(self.recipe.source, self.recipe.data_dir)
        return {fold: self._as_asked(source) for fold, source in folds.items()}

    def _as_asked(self, source: Source) -> Source:
        if not self.quick:
            return source
        count = max(QUICK_CLIPS, len(source.labels))
        return replace(source, splits={split: few_clips(clips, count) for split, clips in source.splits.items()})

    def repetitions(self, num_seeds: int) -> list[Repetition]:
        return repeat_by_fold(self.folds) if self.by_fold else repeat_by_seed(self.source, num_seeds)

    @property
    def split(self) -> str:
        """What is scored: the test clips or, where there are none, those of validation, such as the fold held out."""
        return "test" if "test" in self.source.splits else "validation"

    def paper_score(self, variant: str) -> float | None:
        """Mean of three runs of the plain recipe (Fig. 6, where other tables repeat it)."""
        return paper_score(self.recipe.source, variant)


def few_clips(clips: Sequence[Clip], count: int) -> list[Clip]:
    """`count` clips at most; those come first that bring a label not heard before."""
    heard, new, other = set(), [], []
    for clip in clips:
        (other if heard.issuperset(clip.labels) else new).append(clip)
        heard.update(clip.labels)
    return (new + other)[:count]


def chosen_tasks(args: argparse.Namespace, default: Sequence[str]) -> list[Task]:
    """
    What the command line asks for: --tasks of the paper, or one data set by --source or --recipe.

    Raises:
        RecipeError: an unknown task, or options that do not go together.
        DataError: data that are not there.
    """
    if args.source or args.recipe:
        if args.tasks:
            raise RecipeError("--tasks are the paper's; leave it out with --source or --recipe")
        tasks = [_task(args, [f"--{name}={vars(args)[name]}" for name in ("recipe", "source") if vars(args)[name]])]
    else:
        names = args.tasks or default
        if unknown := [name for name in names if name not in PAPER_TASKS]:
            raise RecipeError(
                f"there is no task {unknown[0]!r}: choose from {', '.join(PAPER_TASKS)}, or give --source folder"
            )
        if args.data_dir and len(names) > 1:
            raise RecipeError("--data_dir holds the data of one task: name it with --tasks")
        tasks = [_task(args, [f"--recipe={PAPER_TASKS[name]}"], f"data/{name}") for name in names]
    for task in tasks:  # all that can be wrong is said before hours of training
        _ = task.family, task.source
    return tasks


def _task(args: argparse.Namespace, options: list[str], default_data_dir: str | None = None) -> Task:
    data_dir = args.data_dir or (None if args.synthetic else default_data_dir)
    given = {
        "data_dir": data_dir,
        "num_epochs": args.num_epochs,
        "threads": args.threads,
        "cache_dir": args.cache_dir,
        "output_dir": args.runs_dir,
    }
    options = options + [f"--{name}={value}" for name, value in given.items() if value is not None]
    task = Task(parse_recipe(options + ["--synthetic"] * args.synthetic), args.quick, args.folds)
    if args.quick:  # the few clips must not take the place of the prepared data set
        changes = {**QUICK_OPTIONS, "cache_dir": str(args.runs_dir / task.name / "prepared")}
        task = replace(task, recipe=replace(task.recipe, **changes))
    return task
