"""
The paper's tables and figures.

    python -m training.experiments figure_6 --synthetic                 # on stand-ins for the paper's three data sets
    python -m training.experiments figure_6 --tasks speech_commands     # on data/speech_commands
    python -m training.experiments figure_6 --source folder --data_dir MY_SOUNDS \\
        --recipe training/recipes/speech_commands/modern.yaml
    python -m training.experiments figure_8 runs/music runs/speech      # looks into networks that are trained already

Training goes on where it was interrupted, with the epoch; experiments share the runs that they have in common.
`--quick` shows in minutes that a command works, and nothing else.
"""

import argparse
import datetime
import shlex
import sys
from pathlib import Path

from transformers.utils.logging import disable_progress_bar

from training.data import SOURCES
from training.errors import RecipeError, errors_in_one_line
from training.experiments import EXPERIMENTS
from training.experiments.grid import Trained, run_grid
from training.experiments.output import is_analysis, markdown, write_result, write_views
from training.experiments.subjects import Subject, chosen_subjects
from training.experiments.tasks import PAPER_TASKS, Task, chosen_tasks

PROGRAM = "python -m training.experiments"


def run_experiment(name: str, task: Task, args: argparse.Namespace, command: str):
    """Train what is missing of an experiment on one task; the result file grows with every run."""
    experiment, folder = EXPERIMENTS[name], results_folder(args) / task.name
    cells, repetitions = experiment.cells(task, args), task.repetitions(args.seeds)
    result = {}

    def collect(trained: list[Trained]):
        finished = [results for run in trained for results in run.results]
        result.update(
            experiment=name,
            command=command,
            date=datetime.date.today().isoformat(),
            data=task.name,
            split=task.split,
            folds=len(repetitions) if task.by_fold else None,
            keep=repetitions[0].options.get("keep", task.recipe.keep),
            metric=task.source.metric,
            synthetic=finished[0]["synthetic"],
            quick=task.quick,
            clips=finished[0]["clips"],
            runs={"finished": len(finished), "planned": len(cells) * len(repetitions)},
            tables=experiment.tables(task, trained),
        )
        write_result(result, folder)

    try:
        run_grid(task, cells, repetitions, after_run=collect)
    finally:  # of an interrupted grid, too
        if result:
            _show(result, folder)


def run_analysis(name: str, subjects: list[Subject], args: argparse.Namespace, command: str):
    """Look into networks, for one result."""
    experiment, data = EXPERIMENTS[name], "+".join(subject.name for subject in subjects)
    rows, arrays = [], {}
    for subject in subjects:
        subject_rows, subject_arrays = experiment.analyse(subject, args)
        rows += subject_rows
        arrays |= subject_arrays
    result = {
        "experiment": name,
        "command": command,
        "date": datetime.date.today().isoformat(),
        "data": data,
        "what": "; ".join(map(str, subjects)),
        "quick": args.quick,
        "tables": {name: rows},
    }
    folder = results_folder(args) / data
    write_result(result, folder, arrays)
    _show(result, folder)


def _show(result: dict, folder: Path):
    name = result["experiment"]
    write_views(result, EXPERIMENTS[name], folder)
    wrote = f"wrote {folder}/{name}.md, .json, .csv, .png and .svg"
    print(f"\n{markdown(result, EXPERIMENTS[name])}\n\n{wrote}", flush=True)


def results_folder(args: argparse.Namespace) -> Path:
    return args.output_dir or args.runs_dir / "results"


def create_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    folders = argparse.ArgumentParser(add_help=False)
    folders.add_argument("--runs_dir", type=Path, default=Path("runs/experiments"), help="default: %(default)s")
    folders.add_argument("--output_dir", type=Path, help="folder of the results (default: RUNS_DIR/results)")
    commands = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name, experiment in EXPERIMENTS.items():
        command = commands.add_parser(
            name, parents=[folders], help=experiment.TITLE, description=experiment.TITLE, allow_abbrev=False
        )
        runs = command.add_mutually_exclusive_group()
        runs.add_argument(
            "--folds",
            action="store_true",
            help="hold out folds, for file names that begin with one: <class>/2-dog.wav",
        )
        if is_analysis(experiment):
            _add_model_arguments(command, hears=experiment.BLOCK_TYPE == "se")
        else:
            runs.add_argument("--seeds", type=int, default=3, help="runs of each network (default: 3, the paper's)")
        _add_data_arguments(command)
        if hasattr(experiment, "add_arguments"):
            experiment.add_arguments(command)
    return parser


def _add_model_arguments(command: argparse.ArgumentParser, hears: bool):
    command.add_argument(
        "models",
        nargs="*",
        metavar="MODEL",
        help="folders or Hub ids of trained models (default: the tasks' networks, trained now if need be)",
    )
    if hears:
        command.add_argument("--split", choices=("train", "validation", "test"), help="default: test, else validation")
        command.add_argument("--max_clips", type=int, help="so many clips, spread evenly over the split")


def _add_data_arguments(command: argparse.ArgumentParser):
    tasks = ", ".join(PAPER_TASKS)
    command.add_argument("--tasks", nargs="+", metavar="TASK", help=f"of the paper: {tasks} (default: the paper's)")
    command.add_argument("--synthetic", action="store_true", help="train on stand-ins that a program makes")
    command.add_argument("--source", choices=sorted(SOURCES), help="other data: kind of data set, such as folder")
    command.add_argument("--data_dir", help="folder that holds the data (default: data/TASK)")
    command.add_argument("--recipe", help="for other data, or in place of the paper's: a YAML file")
    command.add_argument("--num_epochs", type=int, help="epochs at most (default: the recipe's)")
    command.add_argument(
        "--quick",
        action="store_true",
        help="one seed, one epoch, a few clips: shows that the command works, and nothing else",
    )
    command.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    command.add_argument("--cache_dir", help="folder for the decoded clips (default: beside what `datasets` caches)")


def main(argv: list[str] | None = None):
    argv = sys.argv[1:] if argv is None else argv
    args = create_parser().parse_args(argv)
    disable_progress_bar()  # of loading and saving weights
    with errors_in_one_line("the same command goes on, training from the last finished epoch"):
        experiment, command = EXPERIMENTS[args.name], f"{PROGRAM} {shlex.join(argv)}"
        for name in ("seeds", "max_clips", "threads"):
            if vars(args).get(name) is not None and vars(args)[name] < 1:
                raise RecipeError(f"--{name} must be at least 1; got {vars(args)[name]}")
        if is_analysis(experiment):
            subjects = chosen_subjects(args, experiment.BLOCK_TYPE)
            for group in [subjects] if experiment.TOGETHER else [[subject] for subject in subjects]:
                run_analysis(args.name, group, args, command)
        else:
            if args.quick:
                args.seeds = 1
            for task in chosen_tasks(args, getattr(experiment, "TASKS", tuple(PAPER_TASKS))):
                run_experiment(args.name, task, args, command)


if __name__ == "__main__":
    main()
