"""The trained networks that an analysis looks into, and the clips that they hear."""

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from accelerate import Accelerator
from tqdm import tqdm

from samplecnn_hf import SampleCNNFeatureExtractor, SampleCNNForAudioClassification
from samplecnn_hf.analysis import ClipExcitations, ExcitationRecorder
from samplecnn_hf.loading import load_classifier
from training.data import load_source
from training.data.prepared import PreparedClips, prepare
from training.data.segments import to_float
from training.data.source import Source
from training.errors import DataError, RecipeError
from training.experiments.grid import Cell, Trained, run_grid
from training.experiments.tasks import PAPER_TASKS, QUICK_CLIPS, Task, chosen_tasks
from training.loop.evaluation import check_labels, check_split
from training.loop.hardware import prepare_cpu

FOR_TRAINING = ("tasks", "synthetic", "recipe", "num_epochs", "folds")  # options
FOR_DATA = ("source", "data_dir")


@dataclass(frozen=True, eq=False)
class Sounds:
    """Clips of one split of a data set, spread evenly over it."""

    data: str
    split: str
    synthetic: bool
    clips: PreparedClips
    indices: Sequence[int]

    def __str__(self) -> str:
        count, whole = f"{len(self.indices):,}", f"{len(self.clips):,}"
        number = count if count == whole else f"{count} of {whole}"
        kind = "synthetic clips" if self.synthetic else "clips"
        return f"{number} {kind} of the {self.split} split of {self.data}"


@dataclass(frozen=True, eq=False)
class Subject:
    """A trained network, and what it hears where excitations are looked at.

    Attributes:
        name: of the network; its results are kept and shown under it.
        trained_on_synthetic: None where no `results.json` tells.
    """

    name: str
    model: SampleCNNForAudioClassification
    extractor: SampleCNNFeatureExtractor
    trained_on_synthetic: bool | None
    sounds: Sounds | None

    def __str__(self) -> str:
        told = " (trained on synthetic clips)" if self.trained_on_synthetic else ""
        return f"network {self.name}{told}" + (f", hearing {self.sounds}" if self.sounds else "")

    @property
    def labels(self) -> list[str]:
        return self.model.config.labels

    def excitations(self) -> Iterator[tuple[ClipExcitations, list[int]]]:
        """What the network's blocks do with each clip, and the indices of the clip's labels."""
        record, clips = ExcitationRecorder(self.model, self.extractor), self.sounds.clips
        for i in tqdm(self.sounds.indices, desc=self.name, unit="clip", leave=False):
            yield record(to_float(clips[i]).numpy(), self.extractor.sampling_rate), clips.labels[i]


def chosen_subjects(args: argparse.Namespace, block_type: str) -> list[Subject]:
    """
    The networks that the command line names; or those of the tasks, of `block_type`, which are trained if need be.

    For `block_type` "se" they must have squeeze-and-excitation blocks, and hear clips.

    Raises:
        RecipeError: options that do not go together, or networks that cannot be looked at.
        DataError: data that are not there, or not the network's.
        OSError: there is no such model.
    """
    prepare_cpu(1, args.threads)
    hears = block_type == "se"
    if not args.models:
        subjects = [_trained(task, block_type, hears, args) for task in chosen_tasks(args, tuple(PAPER_TASKS))]
    elif unwanted := [name for name in (FOR_TRAINING if hears else FOR_TRAINING + FOR_DATA) if vars(args)[name]]:
        raise RecipeError(f"--{unwanted[0]} is for networks that are trained here; leave it out with MODEL")
    else:
        subjects = [_given(model_id, hears, args) for model_id in args.models]
    names = [subject.name for subject in subjects]
    if twice := [name for name in names if names.count(name) > 1]:
        raise RecipeError(f"two models have the name {twice[0]}: rename the folder of one of them")
    return subjects


def _given(model_id: str, hears: bool, args: argparse.Namespace) -> Subject:
    """One that the command line names; its `results.json` tells its data, unless the command line does."""
    path = Path(model_id)
    name = re.sub(r"[^\w.-]+", "-", path.absolute().name if path.exists() else model_id)
    model, extractor = _load(model_id, hears)
    results = _read_results(path)
    sounds = None
    if hears:
        if args.source and not args.data_dir:
            raise DataError(f"--data_dir is missing: give the folder that holds the data of --source {args.source}")
        if not (results or args.source):
            raise DataError(f"{model_id} has no results.json that tells its data: give --source and --data_dir")
        source_name = args.source or results["source"]  # which may be a fold
        data_dir = args.data_dir or results["data_dir"]
        if not (args.data_dir or source_name == "hub" or Path(data_dir).is_dir()):
            raise DataError(f"{model_id} was trained on {data_dir}, which is not here: give its place with --data_dir")
        source = load_source(source_name, data_dir)
        check_labels(source, model, data_dir, model_id)
        sounds = _sounds(source, data_dir, args.cache_dir, extractor, args)
    return Subject(name + "-quick" * args.quick, model, extractor, results.get("synthetic"), sounds)


def _trained(task: Task, block_type: str, hears: bool, args: argparse.Namespace) -> Subject:
    """The task's network of the grid, with seed 0 or without the first fold: trained now, unless it was before."""
    runs: list[Trained] = []
    run_grid(task, [Cell(task.network(block_type), {})], task.repetitions(1)[:1], after_run=runs.extend)
    recipe = runs[0].results[0]["recipe"]
    model, extractor = _load(recipe["output_dir"], hears)
    sounds = _sounds(task.source, recipe["data_dir"], task.recipe.cache_dir, extractor, args) if hears else None
    return Subject(task.name, model, extractor, task.recipe.synthetic, sounds)


def _load(model_id: str, needs_excitations: bool) -> tuple:
    model, extractor = load_classifier(model_id)
    config = model.config
    if needs_excitations and "se" not in config.block_type:
        variant = f"se-{min(max(config.num_blocks, 8), 9)}"
        raise RecipeError(
            f"{model_id} has {config.block_type} blocks, which have no excitations: give a network of se, rese1 or "
            f"rese2 blocks (accelerate launch training/train.py --variant {variant} trains one)"
        )
    return model.to(Accelerator().device).eval(), extractor


def _read_results(folder: Path) -> dict:
    """`source`, `data_dir` and `synthetic` of the training, as `results.json` tells them; {} where there is none."""
    path = folder / "results.json"
    if not path.is_file():
        return {}
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        told = {"source": str(results["source"]), "data_dir": str(results["recipe"]["data_dir"])}
        return {**told, "synthetic": results.get("synthetic")}
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error!r}): give the folder that training/train.py made") from error


def _sounds(source: Source, data_dir: str, cache_dir: str | None, extractor, args: argparse.Namespace) -> Sounds:
    split = args.split or ("test" if "test" in source.splits else "validation")
    check_split(source, split, data_dir)
    clips = prepare(source, extractor.sampling_rate, cache_dir, [split])[split]
    most = QUICK_CLIPS if args.quick else args.max_clips
    count = min(len(clips), most or len(clips))
    indices = [i * len(clips) // count for i in range(count)]
    return Sounds(Path(data_dir).absolute().name, split, source.synthetic, clips, indices)
