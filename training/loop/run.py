"""A training run from its recipe to the finished folder."""

import json
import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

from accelerate import Accelerator, PartialState
from accelerate.utils import DataLoaderConfiguration, parse_flag_from_env, set_seed

from training.data import load_source
from training.data.source import Source
from training.errors import RecipeError
from training.loop.hardware import prepare_cpu, resolve_precision
from training.loop.model_card import public_path, write_hub_folder
from training.loop.results import collect_results, is_of
from training.loop.run_folder import RunFolder
from training.loop.training_run import TrainingRun
from training.recipe import Recipe
from training.synthetic import ensure_stand_in


def create_accelerator(recipe: Recipe) -> Accelerator:
    """Raises `RecipeError` where several processes were started that do not know of each other."""
    device = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU")).device
    accelerator = Accelerator(
        mixed_precision=resolve_precision(recipe.mixed_precision, device),
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, data_seed=recipe.seed),
    )
    if int(os.environ.get("WORLD_SIZE", 1)) != accelerator.num_processes:
        raise RecipeError(
            "these processes do not know of each other: set ACCELERATE_USE_CPU=true for several on a CPU"
        )
    if accelerator.device.type == "cpu":
        prepare_cpu(accelerator.num_processes, recipe.threads)
    return accelerator


def train(recipe: Recipe, source: Source | None = None) -> dict:
    """
    Run a recipe and write `recipe.output_dir`; returns the results written there as `results.json`.

    Args:
        recipe: all choices of the run. With `resume`, a run that is finished already is left as it is.
        source: the data, where they are not what the recipe's `source` and `data_dir` say.

    Raises:
        RecipeError: an output folder that is in the way or cannot be written.
        DataError: data that cannot be read.
    """
    accelerator = create_accelerator(recipe)
    folder = RunFolder(recipe.output_dir)
    held = folder.held(recipe.overwrite, recipe.resume, recipe.inputs)
    with held if accelerator.is_main_process else nullcontext():
        accelerator.wait_for_everyone()
        resumed = recipe.resume and folder.is_begun
        if recipe.resume and not resumed and (results := folder.results()):
            check_finished(recipe, results, source or open_source(recipe))
            accelerator.print(f"{recipe.output_dir} is finished already")
            return results
        begun = run_description(recipe)
        if resumed:
            check_resumable(recipe, folder.begun(), begun)
        begins = accelerator.is_main_process and not resumed
        with folder.beginning(begun) if begins else nullcontext():
            source = source or open_source(recipe)
            set_seed(recipe.seed)
            run = TrainingRun(recipe, source, folder, accelerator)
        accelerator.wait_for_everyone()
        set_seed(recipe.seed, device_specific=True)
        run.restore()
        run.fit()
        model = run.kept_model()
        results = collect_results(run, model)
        if accelerator.is_main_process:
            folder.finish(lambda path: write_hub_folder(path, model, run.extractor, results))
    summary = {"output_dir": recipe.output_dir, "kept_epoch": results["kept_epoch"], **results["metrics"]}
    accelerator.print(json.dumps(summary))
    return results


def open_source(recipe: Recipe) -> Source:
    if recipe.synthetic:
        ensure_stand_in(recipe.source, Path(recipe.data_dir))
    return load_source(recipe.source, recipe.data_dir)


def run_description(recipe: Recipe) -> dict:
    """What must be the same for a run to go on."""
    return {"recipe": asdict(recipe), "num_processes": PartialState().num_processes}


def check_resumable(recipe: Recipe, begun: dict, now: dict):
    """Raise `RecipeError` where the interrupted run, `begun`, is another than the one to be trained `now`."""
    check_same_run(recipe, begun["recipe"], "interrupted")
    before, count = begun["num_processes"], now["num_processes"]
    if before != count:
        raise RecipeError(
            f"the interrupted run had {before} processes, not {count}; --resume it with as many, or start anew with "
            "--overwrite"
        )


def check_finished(recipe: Recipe, results: dict, source: Source):
    """Raise `RecipeError` where the finished run is another one. Its `results` hold no absolute paths to compare."""
    earlier, but = results["recipe"], ["data_dir"]
    if earlier.get("pretrained") == public_path(recipe.pretrained):
        but.append("pretrained")
    check_same_run(recipe, earlier, "finished", but)
    if not is_of(results, source):
        raise RecipeError(
            f"{recipe.output_dir} was trained on other clips than {recipe.data_dir} holds now: choose another "
            "--output_dir, or --overwrite it"
        )


def check_same_run(recipe: Recipe, earlier: dict, state: str, but: Sequence[str] = ()):
    """Raise `RecipeError` where the options, `but` some, are not those of the earlier run."""
    if changed := recipe.changed_option(earlier, but):
        raise RecipeError(
            f"the {state} run had --{changed}; --resume with the same options, or start anew with --overwrite"
        )
