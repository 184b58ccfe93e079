"""The results of a run, `results.json`: scores, size, speed, options and history."""

import datetime
import shlex
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from accelerate import Accelerator

from samplecnn_hf import SampleCNNForAudioClassification
from training.data.source import Source
from training.data.sources.combined import without_auxiliary
from training.errors import RecipeError
from training.loop.complexity import giga_macs, segments_per_second
from training.loop.data import TrainingData
from training.loop.detection import evaluate_detection, keyword_accuracy, spots_words
from training.loop.evaluation import predict
from training.loop.hardware import describe_hardware
from training.loop.metrics import (
    bootstrap_interval,
    compute_metrics,
    confusion_matrix,
    per_label_table,
    tune_thresholds,
    unscored_labels,
)
from training.loop.run_folder import RunFolder
from training.loop.training_run import TrainedModel
from training.recipe import Recipe


def evaluate_splits(
    model: SampleCNNForAudioClassification, data: TrainingData, accelerator: Accelerator
) -> dict[str, dict]:
    """
    Scores on the splits in `data.evaluation`, in float32.

    For multi-label data, thresholds are tuned on the validation split first and become part of the model's config.
    If there are keywords, silence and unknown sounds, `evaluate_detection` does the same for the keywords.
    """
    source, multi_label = data.source, data.source.multi_label
    predictions = {split: predict(model, loader, accelerator) for split, loader in data.evaluation.items()}
    if multi_label and "validation" in predictions:
        model.config.thresholds = tune_thresholds(*predictions["validation"][:2])
    thresholds = model.config.thresholds
    scores = {name: {} for name in ("metrics", "interval", "per_label")}
    scores["unscored_labels" if multi_label else "confusion_matrix"] = {}
    for split, (logits, targets, *_) in predictions.items():
        scores["metrics"][split] = compute_metrics(logits, targets, multi_label, thresholds)
        scores["interval"][split] = bootstrap_interval(logits, targets, multi_label, source.metric)
        scores["per_label"][split] = per_label_table(logits, targets, source.labels, multi_label, thresholds)
        if multi_label:
            scores["unscored_labels"][split] = [source.labels[i] for i in unscored_labels(targets)]
        else:
            scores["confusion_matrix"][split] = confusion_matrix(logits, targets)
    if spots_words(source) and "validation" in predictions:
        scores["detection"] = evaluate_detection(model, data.extractor, source.labels, data.clips)
        for split, (logits, targets, *_) in predictions.items():
            scores["detection"]["splits"][split]["keyword_accuracy"] = keyword_accuracy(logits, targets, source.labels)
    return scores


def collect_results(recipe: Recipe, trained: TrainedModel, data: TrainingData, accelerator: Accelerator) -> dict:
    """The content of `results.json`: everything that the model card says about a run."""
    source, clips, model = data.source, data.clips, trained.model
    return {
        "date": datetime.date.today().isoformat(),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "recipe": asdict(recipe),
        "base_model": recipe.base_model,
        "source": source.name,
        "metric": source.metric,
        "synthetic": source.synthetic,
        "labels": source.labels,
        "clips": {split: len(clips[split]) for split in source.splits},
        "clips_left_out": {split: len(listed) - len(clips[split]) for split, listed in source.splits.items()},
        "source_rates": {split: clips[split].source_rates for split in source.splits},
        "parameters": model.num_parameters(),
        "giga_macs": round(giga_macs(model.config), 6),
        "segments_per_second": round(segments_per_second(model), 1),
        "kept_epoch": trained.kept_epoch,
        **evaluate_splits(model, data, accelerator),
        "training_seconds": round(sum(record["seconds"] for record in trained.history), 1),
        "mixed_precision": accelerator.mixed_precision,
        "hardware": describe_hardware(accelerator.device),
        "versions": {package: version(package) for package in ("torch", "transformers", "accelerate")},
        "history": trained.history,
    }


def finished_results(recipe: Recipe, source: Source, num_processes: int = 1) -> dict | None:
    """
    Results of the finished run in `recipe.output_dir`. None: there is none, or it was interrupted.

    Raises:
        RecipeError: the run there has other options, processes or clips.
    """
    folder = RunFolder(recipe.output_dir)
    if folder.is_interrupted:
        description = folder.description()
        recipe.check_same_run(description["recipe"])
        if description["num_processes"] != num_processes:
            raise RecipeError(
                f"{recipe.output_dir} was trained with {description['num_processes']} processes, not {num_processes}: "
                "resume with as many, or choose another folder"
            )
        return None
    results = folder.results()
    if results is None:
        return None
    recipe.check_same_run(results["recipe"], published=True)
    source = without_auxiliary(source)
    listed = {split: clips + results["clips_left_out"][split] for split, clips in results["clips"].items()}
    if (results["labels"], listed) != (source.labels, {split: len(clips) for split, clips in source.splits.items()}):
        raise RecipeError(
            f"{recipe.output_dir} was trained on other clips than {recipe.data_dir} has now: choose another folder"
        )
    return results
