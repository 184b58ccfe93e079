"""
The paper's tables and figures.

    python -m training.experiments figure_6 --synthetic                 # on synthetic data in place of the paper's
    python -m training.experiments figure_6 --tasks speech_commands     # on data/speech_commands
    python -m training.experiments figure_6 --source folder --data_dir MY_SOUNDS \\
        --recipe training/recipes/speech_commands/modern.yaml
    python -m training.experiments figure_8 runs/music runs/speech      # analyze trained networks

The same command resumes interrupted training from the last finished epoch; experiments share the runs that they have
in common. `--quick` takes minutes and only checks that a command works.
"""

import argparse
import datetime
import shlex
import sys
from dataclasses import fields
from pathlib import Path
from types import NoneType
from typing import Literal, get_args, get_origin

from transformers.utils.logging import disable_progress_bar

from training.errors import RecipeError, errors_in_one_line
from training.experiments import EXPERIMENTS
from training.experiments.analysis import ClipOptions, TrainedNetwork, chosen_networks
from training.experiments.experiment import Analysis, Experiment, GridExperiment
from training.experiments.grid import run_grid
from training.experiments.output import write_result, write_views
from training.experiments.task import Task, TaskOptions, chosen_tasks

PROGRAM = "python -m training.experiments"


def main(argv: list[str] | None = None):
    argv = sys.argv[1:] if argv is None else argv
    args = create_parser().parse_args(argv)
    disable_progress_bar()  # while weights are loaded and saved
    with errors_in_one_line("the same command resumes training from the last finished epoch"):
        for name in ("seeds", "max_clips", "threads"):
            if (value := getattr(args, name, None)) is not None and value < 1:
                raise RecipeError(f"--{name} must be at least 1; got {value}")
        experiment, options = read_options(EXPERIMENTS[args.name], args), read_options(TaskOptions, args)
        command = f"{PROGRAM} {shlex.join(argv)}"
        folder = Path(args.output_dir or Path(options.runs_dir, "results"))
        if isinstance(experiment, Analysis):
            clip_options = read_options(ClipOptions, args) if experiment.needs_clips else None
            networks = chosen_networks(args.models, experiment.block_type, options, clip_options)
            for group in [networks] if experiment.combined else [[network] for network in networks]:
                run_analysis(experiment, group, command, folder)
        else:
            for task in chosen_tasks(options, experiment.default_tasks):
                run_experiment(experiment, task, 1 if task.quick else args.seeds, command, folder)


def create_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name, experiment in EXPERIMENTS.items():
        command = commands.add_parser(name, help=experiment.title, description=experiment.title, allow_abbrev=False)
        command.add_argument("--output_dir", help="folder of the results (default: RUNS_DIR/results)")
        runs = command.add_mutually_exclusive_group()
        if issubclass(experiment, Analysis):
            command.add_argument(
                "models",
                nargs="*",
                metavar="MODEL",
                help="folders or Hub ids of trained models (default: networks trained on the tasks, if necessary)",
            )
            if experiment.needs_clips:
                add_options(command, ClipOptions)
        else:
            runs.add_argument("--seeds", type=int, default=3, help="runs per network (default: 3 as in the paper)")
        add_options(command, TaskOptions, exclusive={"folds": runs})
        add_options(command, experiment)
    return parser


def add_options(parser: argparse.ArgumentParser, options: type, exclusive: dict | None = None):
    """Add a command-line option per field of a dataclass, some to groups of mutually exclusive options."""
    for field in fields(options):
        kind = get_args(field.type)[0] if NoneType in get_args(field.type) else field.type
        if kind is bool:
            form = {"action": "store_true"}
        elif get_origin(kind) is Literal:
            form = {"choices": get_args(kind)}
        else:
            form = {"nargs": "+"} if get_origin(kind) is list else {"type": kind}
        group = (exclusive or {}).get(field.name, parser)
        group.add_argument(f"--{field.name}", default=field.default, help=field.metadata["help"], **form)


def read_options(options: type, args: argparse.Namespace):
    """The dataclass with the values of its fields from the command line."""
    return options(**{field.name: getattr(args, field.name) for field in fields(options)})


def run_experiment(experiment: GridExperiment, task: Task, num_seeds: int, command: str, folder: Path):
    """Train the missing runs of an experiment on one task; NAME.json is updated after each run."""
    networks, repetitions = experiment.networks(task), task.repetitions(num_seeds)
    folder, result = folder / task.name, None
    try:
        for trained in run_grid(task, networks, repetitions):
            finished = [results for network in trained for results in network.runs]
            result = {
                **_header(experiment, command, task.name),
                "split": task.source.scored_split,
                "folds": len(repetitions) if task.by_fold else None,
                "keep": repetitions[0].options.get("keep", task.recipe.keep),
                "metric": task.source.metric,
                "synthetic": finished[0]["synthetic"],
                "quick": task.quick,
                "clips": finished[0]["clips"],
                "runs": {"finished": len(finished), "planned": len(networks) * len(repetitions)},
                "tables": experiment.tables(task, trained),
            }
            write_result(folder, result)
    finally:  # also when interrupted
        if result:
            write_views(folder, result, experiment.title, experiment.plots(result["tables"]))


def run_analysis(experiment: Analysis, networks: list[TrainedNetwork], command: str, folder: Path):
    """Analyze networks for one table and figure."""
    rows, arrays = [], {}
    for network in networks:
        network_rows, network_arrays = experiment.analyze(network)
        rows += network_rows
        arrays |= network_arrays
    data = "+".join(network.name for network in networks)
    result = {
        **_header(experiment, command, data),
        "what": "; ".join(map(str, networks)),
        "quick": networks[0].quick,
        "tables": {experiment.name: rows},
    }
    write_result(folder / data, result, arrays)
    write_views(folder / data, result, experiment.title, {experiment.name: experiment.plot(rows, arrays)})


def _header(experiment: Experiment, command: str, data: str) -> dict:
    date = datetime.date.today().isoformat()
    return {"experiment": experiment.name, "command": command, "date": date, "data": data}


if __name__ == "__main__":
    main()
