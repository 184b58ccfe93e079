"""A training run, from its recipe to the finished folder."""

import json
import os
from contextlib import nullcontext
from dataclasses import asdict

from accelerate import Accelerator, PartialState
from accelerate.utils import DataLoaderConfiguration, parse_flag_from_env, set_seed

from training.data.source import Source
from training.errors import RecipeError
from training.loop.auxiliary import remove_auxiliary
from training.loop.data import load_data
from training.loop.hardware import prepare_cpu, resolve_precision
from training.loop.model_card import write_hub_folder
from training.loop.results import collect_results, finished_results
from training.loop.run_folder import RunFolder
from training.loop.training_run import TrainingRun
from training.recipe import Recipe


def create_accelerator(recipe: Recipe) -> Accelerator:
    """
    Set up devices, precision and threads.

    Raises:
        RecipeError: the started processes are not connected, or the device lacks what the recipe asks for.
    """
    device = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU")).device
    accelerator = Accelerator(
        mixed_precision=resolve_precision(recipe.mixed_precision, device),
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, data_seed=recipe.seed),
    )
    if int(os.environ.get("WORLD_SIZE", 1)) != accelerator.num_processes:
        raise RecipeError(
            "the processes are not connected: set ACCELERATE_USE_CPU=true for several processes on a CPU"
        )
    if accelerator.device.type == "cpu":
        if recipe.sync_batch_norm:
            raise RecipeError("--sync_batch_norm needs GPUs: torch cannot synchronize batch norms on a CPU")
        prepare_cpu(accelerator.num_processes, recipe.threads)
    return accelerator


def train(recipe: Recipe, source: Source | None = None) -> dict:
    """
    Train a network and write the model folder `recipe.output_dir`.

    Args:
        recipe: all choices of the run. With `resume`, a finished run is not repeated.
        source: dataset to train on. None: the recipe's.

    Returns:
        The content of `results.json`.

    Raises:
        RecipeError: the output folder exists, cannot be written or belongs to another run; the loss is not finite.
        DataError: the data cannot be read.
    """
    accelerator = create_accelerator(recipe)
    folder = RunFolder(recipe.output_dir)
    held = folder.held(recipe.overwrite, recipe.resume, recipe.inputs)
    with held if accelerator.is_main_process else nullcontext():
        accelerator.wait_for_everyone()
        resumed = recipe.resume and folder.is_interrupted
        if recipe.resume:
            source = source or recipe.load_source()
            if results := finished_results(recipe, source, accelerator.num_processes):
                accelerator.print(f"{recipe.output_dir} is finished already")
                return results
        starts = accelerator.is_main_process and not resumed
        with folder.start(run_description(recipe)) if starts else nullcontext():
            source = source or recipe.load_source()
            set_seed(recipe.seed)
            model, extractor = recipe.create_model(source)
            data = load_data(recipe, source, extractor, accelerator)
            run = TrainingRun(recipe, model, data, folder, accelerator)
        accelerator.wait_for_everyone()
        set_seed(recipe.seed, device_specific=True)
        run.restore()
        trained = run.fit()
        if source.num_auxiliary:
            data = remove_auxiliary(recipe, trained, data, accelerator)
        results = collect_results(recipe, trained, data, accelerator)
        if accelerator.is_main_process:
            folder.finish(lambda path: write_hub_folder(path, trained.model, extractor, results))
    summary = {"output_dir": recipe.output_dir, "kept_epoch": results["kept_epoch"], **results["metrics"]}
    accelerator.print(json.dumps(summary))
    return results


def run_description(recipe: Recipe) -> dict:
    """What `finished_results` compares when a run is resumed."""
    return {"recipe": asdict(recipe), "num_processes": PartialState().num_processes}
