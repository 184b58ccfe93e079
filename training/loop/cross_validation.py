"""Cross-validation: one training run per fold, each with that fold held out."""

import json
import statistics
from dataclasses import asdict, replace
from pathlib import Path

from accelerate import PartialState

from samplecnn_hf.files import write_file
from training.data.folds import load_folds, repeat_by_fold
from training.errors import RecipeError
from training.loop.run import create_accelerator, run_description, train
from training.loop.run_folder import RunFolder
from training.recipe import Recipe


def cross_validate(recipe: Recipe) -> dict:
    """
    Train one network per fold: models in `output_dir/fold<n>`, scores in `output_dir/results.json`.

    Returns:
        The scores of each fold, and mean and standard deviation of the accuracy over the folds.

    Raises:
        RecipeError: an error of `train`, other results in `output_dir`, or a schedule that follows the scores.
        DataError: an error of `load_folds`.
    """
    create_accelerator(recipe)
    summary_file = Path(recipe.output_dir) / "results.json"
    check_summary_file(summary_file)
    sources = load_folds(recipe.source, recipe.data_dir)
    recipes = {
        fold: replace(recipe, **repetition.options, output_dir=str(Path(recipe.output_dir) / repetition.name))
        for fold, repetition in zip(sources, repeat_by_fold(sources, recipe.schedule), strict=True)
    }
    if recipe.overwrite and not recipe.resume:
        for fold_recipe in recipes.values():
            start_again(fold_recipe)
    folds = {}
    for fold, source in sources.items():
        results = train(recipes[fold], source)
        folds[fold] = {
            "clips": results["clips"]["validation"],
            **results["metrics"]["validation"],
            "seconds": results["training_seconds"],
        }
    accuracies = [scores["accuracy"] for scores in folds.values()]
    summary = {
        "accuracy_mean": statistics.mean(accuracies),
        "accuracy_std": statistics.stdev(accuracies),
        "folds": folds,
        "recipe": asdict(recipe),
    }
    if PartialState().is_main_process:
        write_file(summary_file, json.dumps(summary, indent=2) + "\n")
    return summary


def check_summary_file(path: Path):
    """Raise `RecipeError` if there is a file with other results."""
    try:
        ours = not path.exists() or "accuracy_mean" in json.loads(path.read_text(encoding="utf-8"))
    except (TypeError, ValueError):
        ours = False
    if not ours:
        raise RecipeError(f"{path} was not written by a cross-validation: choose another --output_dir")


def start_again(recipe: Recipe):
    """Start a run without training, so that an interruption can be resumed; `recipe` then resumes it."""
    if PartialState().is_main_process:
        folder = RunFolder(recipe.output_dir)
        with folder.held(overwrite=True, resume=False, inputs=recipe.inputs), folder.start(run_description(recipe)):
            pass
    PartialState().wait_for_everyone()
    recipe.resume = True
