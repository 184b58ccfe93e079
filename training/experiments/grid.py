"""
Training runs of an experiment: networks x seeds, or folds, each in a folder `RUNS_DIR/<data>/<network>-seed<n>`.

Folder names identify what was trained, so experiments share runs: a finished run is loaded, an interrupted one is
resumed after its last epoch, and one that was started with other options is an error.
"""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from samplecnn_hf import create_config
from training.data.folds import Repetition
from training.errors import RecipeError
from training.experiments.task import Task
from training.loop.results import finished_results
from training.loop.run import train
from training.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Network:
    """A network to train: a row of the experiment's table.

    Attributes:
        variant: name of the network, see `samplecnn_hf.list_variants()`.
        columns: columns of the row before the score.
        paper: the paper's score, where known.
        model_kwargs: fields of the config that differ from the variant's.
        paper_sd: standard deviation of the paper's score, where known.
        recipe_changes: fields of the recipe that differ from the task's.
    """

    variant: str
    columns: dict
    paper: float | None = None
    model_kwargs: dict = field(default_factory=dict)
    paper_sd: float | None = None
    recipe_changes: dict = field(default_factory=dict)

    @property
    def name(self) -> str:
        changes = {**self.model_kwargs, **self.recipe_changes}
        return "-".join([self.variant, *(f"{key}={value}" for key, value in changes.items())])

    def recipe(self, task: Task, run_name: str = "seed0", **changes) -> Recipe:
        """The task's recipe with the changes of this network and of one of its runs."""
        return replace(
            task.recipe,
            variant=self.variant,
            model_kwargs={**task.recipe.model_kwargs, **self.model_kwargs},
            output_dir=str(Path(task.recipe.output_dir, task.name, f"{self.name}-{run_name}")),
            resume=True,
            **changes,
            **self.recipe_changes,
        )


@dataclass(frozen=True)
class NetworkResults:
    """A network and the results of its finished runs (see training/loop/results.py), one per seed or fold."""

    network: Network
    runs: list[dict]

    def scores(self, split: str, metric: str) -> list[float]:
        """Scores of the runs, without those where the metric is undefined."""
        scores = (results["metrics"][split].get(metric) for results in self.runs)
        return [score for score in scores if score is not None]


def check_overrides(task: Task, networks: Sequence[Network]):
    """Raise `RecipeError` if the recipe gives all networks the same value of a field in which they differ."""
    configs = [create_config(network.variant, **network.model_kwargs).to_dict() for network in networks]
    for name in task.recipe.model_kwargs:
        if any(config[name] != configs[0][name] for config in configs):
            raise RecipeError(
                f"model_kwargs of the recipe set {name}, in which the networks of this experiment differ: give a "
                "--recipe without it"
            )


def run_grid(
    task: Task, networks: Sequence[Network], repetitions: Sequence[Repetition]
) -> Iterator[list[NetworkResults]]:
    """Train all networks for the first seed or fold, then all for the second, and so on.

    Yields:
        The results so far, after each training run; once if all runs are finished already.

    Raises:
        RecipeError: a run was started with other options or data, or the recipe overrides what the networks differ in;
            all are checked before the first is trained.
    """
    check_overrides(task, networks)
    trained = [NetworkResults(network, []) for network in networks]
    todo = []
    for repetition in repetitions:
        for network_results in trained:
            recipe = network_results.network.recipe(task, repetition.name, **repetition.options)
            if results := finished_results(recipe, repetition.source):
                network_results.runs.append({**results, "recipe": asdict(recipe)})  # with local paths
            else:
                todo.append((network_results, recipe, repetition.source))
    num_runs = len(networks) * len(repetitions)
    print(f"{task.name}: {num_runs - len(todo)} of {num_runs} runs are done already", flush=True)
    if not todo:
        yield trained
    for number, (network_results, recipe, source) in enumerate(todo, start=num_runs - len(todo) + 1):
        print(f"run {number} of {num_runs}: {recipe.output_dir}", flush=True)
        network_results.runs.append(train(recipe, source))
        yield trained


def score_row(task: Task, trained: NetworkResults) -> dict:
    """Row of a network in a score table: its columns and name, its scores over the runs, and the paper's."""
    network = trained.network
    scores = trained.scores(task.source.scored_split, task.source.metric)
    row = {**network.columns, "network": network.name, **mean_and_sd(scores), "paper": network.paper}
    return row if network.paper_sd is None else {**row, "paper sd": network.paper_sd}


def mean_and_sd(scores: list[float]) -> dict:
    """Number, mean and standard deviation of the scores; None where there are too few."""
    return {
        "runs": len(scores),
        "mean": statistics.fmean(scores) if scores else None,
        "sd": statistics.stdev(scores) if len(scores) > 1 else None,
    }
