"""
Networks times seeds, or folds: the runs of an experiment, each in a folder `RUNS_DIR/<data>/<network>-seed<n>`.

A folder's name tells what was trained, so experiments share their runs: a finished one is never trained again, and an
interrupted one goes on from its last epoch. One that was begun with other options is refused, not reused.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from samplecnn_hf import SampleCNNConfig
from training.data.folds import Repetition
from training.data.source import Source
from training.errors import RecipeError
from training.experiments.tasks import Task
from training.loop.results import is_of
from training.loop.run import train
from training.loop.run_folder import RunFolder
from training.recipe import Recipe


@dataclass
class CellRecipe(Recipe):
    """A recipe whose network differs from `variant` in some fields of its config, such as `se_ratio`."""

    overrides: dict = field(default_factory=dict)

    def create_config(self, labels: list[str], problem_type: str) -> SampleCNNConfig:
        config = super().create_config(labels, problem_type)
        for name, value in self.overrides.items():
            setattr(config, name, value)
        return config


@dataclass(frozen=True, eq=False)
class Cell:
    """One network of an experiment: a row of its table.

    Attributes:
        variant: name of the network, see `samplecnn_hf.list_variants()`.
        columns: what the table says of it before its score.
        paper, paper_sd: the paper's score and its standard deviation, where they are known.
        config: fields of the config that differ from the variant's.
        options: fields of the recipe that differ from the task's.
    """

    variant: str
    columns: dict
    paper: float | None = None
    paper_sd: float | None = None
    config: dict = field(default_factory=dict)
    options: dict = field(default_factory=dict)

    @property
    def name(self) -> str:
        return "-".join([self.variant, *(f"{key}={value}" for key, value in {**self.config, **self.options}.items())])

    def recipe(self, task: Task, *, run: str = "seed0", **options) -> CellRecipe:
        folder = Path(task.recipe.output_dir) / task.name / f"{self.name}-{run}"
        changes = {"variant": self.variant, "output_dir": str(folder), "resume": True}
        return CellRecipe(**{**asdict(task.recipe), **changes, **options, **self.options}, overrides=self.config)


@dataclass(frozen=True)
class Trained:
    """A cell with what training/loop/results.py tells of its finished runs, one a seed or fold.

    The network of `results` is in the folder `results["recipe"]["output_dir"]`.
    """

    cell: Cell
    results: list[dict]

    def scores(self, split: str, metric: str) -> list[float]:
        """One a run; a metric that the clips did not allow is left out."""
        scores = (results["metrics"][split].get(metric) for results in self.results)
        return [score for score in scores if score is not None]


def run_grid(
    task: Task, cells: Sequence[Cell], repetitions: Sequence[Repetition], after_run: Callable[[list[Trained]], None]
):
    """
    Train every cell with the first seed, or without the first fold, then every cell with the second, and so on;
    `after_run` is told what there is so far.

    Raises:
        RecipeError: a run that was begun with other options or data. All are looked at before the first is trained.
    """
    trained = [Trained(cell, []) for cell in cells]
    todo = []
    for repetition in repetitions:
        for run in trained:
            recipe = run.cell.recipe(task, run=repetition.name, **repetition.options)
            if (results := finished_results(recipe, repetition.source)) is None:
                todo.append((run, recipe, repetition.source))
            else:
                run.results.append(results)
    planned = len(cells) * len(repetitions)
    print(f"{task.name}: {planned - len(todo)} of {planned} runs are done already", flush=True)
    if not todo:
        after_run(trained)
    for number, (run, recipe, source) in enumerate(todo, start=planned - len(todo) + 1):
        print(f"run {number} of {planned}: {recipe.output_dir}", flush=True)
        run.results.append(train(recipe, source))
        after_run(trained)


def finished_results(recipe: CellRecipe, source: Source) -> dict | None:
    """Results of the run, if it is finished. Raises `RecipeError` if it was begun with other options or data."""
    folder = RunFolder(recipe.output_dir)
    if folder.is_begun:
        results, earlier = None, folder.begun()["recipe"]
    elif results := folder.results():
        earlier = results["recipe"]
    else:
        return None
    if changed := recipe.changed_option(earlier, but=("data_dir",)):  # the clips are looked at below
        raise RecipeError(
            f"{recipe.output_dir} was begun with {changed}: give the same options, or another --runs_dir"
        )
    if results and not is_of(results, source):
        raise RecipeError(
            f"{recipe.output_dir} was trained on other clips than {recipe.data_dir} holds now: give another --runs_dir"
        )
    return results and {**results, "recipe": asdict(recipe)}  # the file leaves out where it is on this machine


def score_row(task: Task, trained: Trained) -> dict:
    """What every table has of a network: its name, its scores over the runs, and the paper's."""
    cell = trained.cell
    row = {**cell.columns, "network": cell.name, **mean_and_sd(trained.scores(task.split, task.source.metric))}
    row["paper"] = cell.paper
    if cell.paper_sd is not None:
        row["paper sd"] = cell.paper_sd
    return row


def mean_and_sd(scores: list[float]) -> dict:
    """Number of scores, mean, and the standard deviation of two or more; None is not known."""
    return {
        "runs": len(scores),
        "mean": statistics.fmean(scores) if scores else None,
        "sd": statistics.stdev(scores) if len(scores) > 1 else None,
    }
