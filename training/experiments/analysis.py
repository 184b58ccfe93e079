"""Trained networks for an analysis, and the clips to run through them."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

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
from training.experiments.grid import Network, run_grid
from training.experiments.task import NUM_QUICK_CLIPS, Task, TaskOptions, chosen_tasks
from training.loop.evaluation import check_labels, check_split
from training.loop.hardware import prepare_cpu
from training.options import option

TRAINING_OPTIONS = ("tasks", "synthetic", "recipe", "num_epochs", "folds")
DATA_OPTIONS = ("source", "data_dir")


@dataclass(frozen=True)
class ClipOptions:
    """Options that choose the clips of an analysis."""

    split: Literal["train", "validation", "test"] | None = option(
        None,
        "split of the dataset (default: test, or validation where there is no test split)",
    )
    max_clips: int | None = option(None, "maximum number of clips, spread evenly over the split (default: all)")


@dataclass(frozen=True, eq=False)
class ClipSubset:
    """Clips of one split of a dataset, spread evenly over it."""

    source: Source
    split: str
    clips: PreparedClips
    indices: Sequence[int]

    def __str__(self) -> str:
        count, total = f"{len(self.indices):,}", f"{len(self.clips):,}"
        number = count if count == total else f"{count} of {total}"
        kind = "synthetic clips" if self.source.synthetic else "clips"
        return f"{number} {kind} of the {self.split} split of {Path(self.source.data_dir).name}"


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A trained network, and the clips to analyze it with.

    Attributes:
        name: name of the network in the results.
        trained_on_synthetic: None if unknown, because there is no `results.json`.
        clips: None for an analysis that needs no clips.
        quick: whether to check only that the command works.
    """

    name: str
    model: SampleCNNForAudioClassification
    extractor: SampleCNNFeatureExtractor
    trained_on_synthetic: bool | None
    clips: ClipSubset | None
    quick: bool

    def __str__(self) -> str:
        synthetic = " (trained on synthetic clips)" if self.trained_on_synthetic else ""
        return f"network {self.name}{synthetic}" + (f" on {self.clips}" if self.clips else "")

    @property
    def labels(self) -> list[str]:
        return self.model.config.labels

    def excitations(self) -> Iterator[tuple[ClipExcitations, list[int]]]:
        """Yield the excitations of all blocks and the label indices for each clip."""
        record, clips = ExcitationRecorder(self.model, self.extractor), self.clips.clips
        for i in tqdm(self.clips.indices, desc=self.name, unit="clip", leave=False, disable=None):
            yield record(to_float(clips[i]).numpy(), self.extractor.sampling_rate), clips.labels[i]


def chosen_networks(
    models: Sequence[str], block_type: str, options: TaskOptions, clip_options: ClipOptions | None
) -> list[TrainedNetwork]:
    """Load the networks of an analysis.

    Args:
        models: folders or Hub ids; if there are none, the task's networks of `block_type` are trained, unless they
            are already.
        clip_options: None for an analysis that needs no clips; otherwise all networks must have excitations.

    Raises:
        RecipeError: options that exclude each other, or networks without excitations.
        DataError: the data are missing, or have other labels than the network.
        OSError: there is no such model.
    """
    prepare_cpu(1, options.threads)
    if models:
        unused = TRAINING_OPTIONS if clip_options else TRAINING_OPTIONS + DATA_OPTIONS
        if given := [name for name in unused if getattr(options, name)]:
            raise RecipeError(f"--{given[0]} is for networks that are trained here: leave it out with MODEL")
        networks = [_load_given(model_id, options, clip_options) for model_id in models]
    else:
        networks = [_load_trained(task, block_type, clip_options) for task in chosen_tasks(options)]
    names = [network.name for network in networks]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise RecipeError(f"two models have the name {repeated[0]}: rename the folder of one of them")
    return networks


def _load_given(model_id: str, options: TaskOptions, clip_options: ClipOptions | None) -> TrainedNetwork:
    """A network of the command line; its data are those of its `results.json` unless the options name others."""
    path = Path(model_id)
    name = re.sub(r"[^\w.-]+", "-", path.absolute().name if path.exists() else model_id) + "-quick" * options.quick
    model, extractor = _load(model_id, needs_excitations=clip_options is not None)
    results = _read_results(path)
    clips = None
    if clip_options:
        if options.source and not options.data_dir:
            raise DataError(f"--data_dir is missing: give the folder that holds the data of --source {options.source}")
        if not (results or options.source):
            raise DataError(f"{model_id} has no results.json that names its data: give --source and --data_dir")
        source_name = options.source or results["source"]  # may name a fold
        data_dir = options.data_dir or results["data_dir"]
        if not (options.data_dir or source_name == "hub" or Path(data_dir).is_dir()):
            raise DataError(
                f"{model_id} was trained on {data_dir}, which is not here: give its location with --data_dir"
            )
        source = load_source(source_name, data_dir)
        check_labels(source, model, data_dir, model_id)
        clips = _choose_clips(source, options.cache_dir, extractor, clip_options, options.quick)
    return TrainedNetwork(name, model, extractor, results.get("synthetic"), clips, options.quick)


def _load_trained(task: Task, block_type: str, clip_options: ClipOptions | None) -> TrainedNetwork:
    """The task's network with seed 0 or without the first fold; it is trained if it is not finished."""
    *_, (trained,) = run_grid(task, [Network(task.variant(block_type), {})], task.repetitions(1)[:1])
    folder, clips = trained.runs[0]["recipe"]["output_dir"], None
    model, extractor = _load(folder, needs_excitations=clip_options is not None)
    if clip_options:
        clips = _choose_clips(task.source, task.recipe.cache_dir, extractor, clip_options, task.quick)
    return TrainedNetwork(task.name, model, extractor, task.recipe.synthetic, clips, task.quick)


def _load(model_id: str, needs_excitations: bool) -> tuple:
    model, extractor = load_classifier(model_id)
    config = model.config
    if needs_excitations and "se" not in config.block_type:
        variant = f"se-{min(max(config.num_blocks, 8), 9)}"
        raise RecipeError(
            f"{model_id} has {config.block_type} blocks, which have no excitations: give a network with se, rese1 or "
            f"rese2 blocks (accelerate launch training/train.py --variant {variant} trains one)"
        )
    return model.to(Accelerator().device).eval(), extractor


def _read_results(folder: Path) -> dict:
    """`source`, `data_dir` and `synthetic` of the training from `results.json`; {} where there is none."""
    path = folder / "results.json"
    if not path.is_file():
        return {}
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        data = {"source": str(results["source"]), "data_dir": str(results["recipe"]["data_dir"])}
        return {**data, "synthetic": results.get("synthetic")}
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error!r}): give the folder that training/train.py wrote") from error


def _choose_clips(source: Source, cache_dir: str | None, extractor, options: ClipOptions, quick: bool) -> ClipSubset:
    split = options.split or source.scored_split
    check_split(source, split, source.data_dir)
    clips = prepare(source, extractor.sampling_rate, cache_dir, [split])[split]
    limit = NUM_QUICK_CLIPS if quick else options.max_clips
    count = min(len(clips), limit or len(clips))
    indices = [i * len(clips) // count for i in range(count)]
    return ClipSubset(source, split, clips, indices)
