"""What is known about a finished run: scores, sizes, speed and how it came about; it becomes `results.json`."""

import datetime
import platform
import shlex
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import torch

from samplecnn_hf import SampleCNNForAudioClassification
from training.data.source import Source
from training.errors import RecipeError
from training.loop.complexity import giga_macs, segments_per_second
from training.loop.evaluation import evaluation_loader, predict
from training.loop.metrics import (
    bootstrap_interval,
    compute_metrics,
    confusion_matrix,
    per_label_table,
    tune_thresholds,
    unscored_labels,
)
from training.loop.model_card import public_path
from training.loop.run_folder import RunFolder
from training.recipe import Recipe


def final_evaluation(run, model: SampleCNNForAudioClassification) -> dict[str, dict]:
    """
    Scores of the kept network, in float32, on the validation split and on the test split where there is one.

    For several labels a clip, thresholds are tuned on the validation split first; they become part of the model.
    """
    source, problem_type = run.source, run.source.problem_type
    predictions = {"validation": predict(model, run.validation_loader, run.accelerator)}
    if "test" in run.clips:
        loader = evaluation_loader(run.clips["test"], len(source.labels), run.extractor, run.recipe.eval_batch_size)
        predictions["test"] = predict(model, run.accelerator.prepare(loader), run.accelerator)
    multi_label = problem_type == "multi_label_classification"
    if multi_label:
        model.config.thresholds = tune_thresholds(*predictions["validation"][:2])
    thresholds = model.config.thresholds
    scores = {
        "metrics": {},
        "interval": {},
        "per_label": {},
        "unscored_labels" if multi_label else "confusion_matrix": {},
    }
    for split, (logits, targets, *_) in predictions.items():
        scores["metrics"][split] = compute_metrics(logits, targets, problem_type, thresholds)
        scores["interval"][split] = bootstrap_interval(logits, targets, problem_type, source.metric, thresholds)
        scores["per_label"][split] = per_label_table(logits, targets, source.labels, problem_type, thresholds)
        if multi_label:
            scores["unscored_labels"][split] = [source.labels[i] for i in unscored_labels(targets)]
        else:
            scores["confusion_matrix"][split] = confusion_matrix(logits, targets)
    return scores


def collect_results(run, model: SampleCNNForAudioClassification) -> dict:
    """All that the card and the README say about a run."""
    return {
        "date": datetime.date.today().isoformat(),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "recipe": asdict(run.recipe),
        "source": run.source.name,
        "metric": run.source.metric,
        "synthetic": run.source.synthetic,
        "labels": run.source.labels,
        "clips": {split: len(run.clips[split]) for split in run.source.splits},
        "clips_left_out": {split: len(listed) - len(run.clips[split]) for split, listed in run.source.splits.items()},
        "source_rates": {split: run.clips[split].source_rates for split in run.source.splits},
        "parameters": model.num_parameters(),
        "giga_macs": round(giga_macs(model.config), 6),
        "segments_per_second": round(segments_per_second(model), 1),
        "kept_epoch": run.kept_epoch,
        **final_evaluation(run, model),
        "training_seconds": round(sum(record["seconds"] for record in run.history), 1),
        "mixed_precision": run.accelerator.mixed_precision,
        "hardware": f"{run.accelerator.device.type}, {torch.get_num_threads()} threads, {platform.machine()}",
        "versions": {package: version(package) for package in ("torch", "transformers", "accelerate")},
        "history": run.history,
    }


def finished_results(recipe: Recipe, source: Source, num_processes: int = 1) -> dict | None:
    """
    Results of the finished run in `recipe.output_dir`. None: there is none, or it was interrupted.

    Raises:
        RecipeError: the run there has other options, processes or clips.
    """
    folder = RunFolder(recipe.output_dir)
    if folder.is_begun:
        begun = folder.begun()
        recipe.check_same_run(begun["recipe"])
        if begun["num_processes"] != num_processes:
            raise RecipeError(
                f"{recipe.output_dir} was trained with {begun['num_processes']} processes, not {num_processes}: "
                "resume with as many, or choose another folder"
            )
        return None
    results = folder.results()
    if results is None:
        return None
    # Results hold no absolute paths; the data are compared by their clips.
    same_model = results["recipe"].get("pretrained") == public_path(recipe.pretrained)
    recipe.check_same_run(results["recipe"], ignore=("data_dir", "pretrained") if same_model else ("data_dir",))
    listed = {split: clips + results["clips_left_out"][split] for split, clips in results["clips"].items()}
    if (results["labels"], listed) != (source.labels, {split: len(clips) for split, clips in source.splits.items()}):
        raise RecipeError(
            f"{recipe.output_dir} was trained on other clips than {recipe.data_dir} has now: choose another folder"
        )
    return results
