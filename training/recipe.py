"""A recipe: every choice of a training run, from a YAML file with command-line overrides."""

import argparse
import difflib
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields
from types import NoneType
from typing import Annotated, get_args, get_origin, get_type_hints

import yaml
from huggingface_hub.errors import StrictDataclassError
from transformers import HfArgumentParser

from samplecnn_hf import SampleCNNConfig, SampleCNNFeatureExtractor, create_config
from samplecnn_hf.configuration_samplecnn import BOUNDS
from samplecnn_hf.text import is_one_line, one_line
from training.errors import RecipeError
from training.synthetic import STAND_INS

# Options that may differ when a run is resumed: the weights do not depend on them.
MAY_CHANGE = (
    "recipe",
    "output_dir",
    "overwrite",
    "resume",
    "cache_dir",
    "threads",
    "license",
    "data_license",
    "language",
    "paper_counts",
)
# Options that a pretrained network decides.
FROM_PRETRAINED = ("max_segments", "drop_last", "short_clips", "do_normalize", "mean", "std")
TYPE_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text", dict: "a mapping"}
LARGEST = 3.4e38  # the largest float32
MAX_RECIPE_BYTES = 2**20
SCALAR_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "timestamp")}


@dataclass(frozen=True)
class Limits:
    """The values that a numeric option allows, beside finite ones; `above` and `below` are excluded themselves."""

    minimum: float = -LARGEST
    maximum: float = LARGEST
    above: float = -math.inf
    below: float = math.inf

    def __contains__(self, value: float) -> bool:
        return self.minimum <= value <= self.maximum and self.above < value < self.below

    def __str__(self) -> str:
        bounds = {"at least": self.minimum, "above": self.above, "at most": self.maximum, "below": self.below}
        return " and ".join(f"{word} {bound}" for word, bound in bounds.items() if abs(bound) < LARGEST) or "finite"


Fraction = Annotated[float, Limits(minimum=0, below=1)]


def option(default, help: str, **metadata):
    return field(default=default, metadata={"help": help, **metadata})


@dataclass
class Recipe:
    """Where the data are, which network, how its input is cut, how it is optimised and augmented."""

    recipe: str | None = option(None, "YAML file with any of the fields below; the command line overrides it.")

    # Data and output
    source: str = option("folder", "Kind of data set: folder for your own, or a name in training/data/__init__.py.")
    data_dir: str | None = option(None, "Folder that holds the data set; for the source hub, its id on the Hub.")
    synthetic: bool = option(False, "Make a small synthetic data set in place of the real one, and train on it.")
    paper_counts: bool = option(False, "Demand as many clips as in Table I, of a data set that is in it.")
    cache_dir: str | None = option(None, "Folder for the decoded clips; beside what `datasets` caches, unless given.")
    output_dir: str | None = option(None, "Folder to make: the trained model, ready for the Hub.")
    overwrite: bool = option(False, "Replace the model in output_dir once the new one is complete.")
    resume: bool = option(False, "Go on from the last finished epoch of an interrupted run, if there is one.")

    license: str = option("apache-2.0", "Licence of the weights on the card, a name that the Hub knows.")
    data_license: str | None = option(None, "Licence of the data on the card; data sets known by name have theirs.")
    language: str | None = option(
        None, "Language of the recordings on the card, such as ar, for a data set of speech."
    )

    # Network
    variant: str | None = option("se-8", "Network by name; see samplecnn_hf.list_variants().")
    pretrained: str | None = option(None, "Folder or Hub id to fine-tune: it brings its own network and input.")
    freeze: Annotated[int, Limits(0, 1 + BOUNDS["num_blocks"][1])] = option(
        0, "Number of layers of the pretrained network to freeze: the front end, then blocks from the bottom."
    )
    warm_statistics: bool = option(
        False, "Re-estimate the batch norms' statistics on the training clips before the first epoch."
    )
    initializer: str | None = option("he_uniform", "he_uniform, or sampleaudio for that of the authors' code.")

    # Input (the feature extractor's options)
    crop: str = option(
        "consecutive", "Training segments: consecutive (the paper) or random.", choices=["consecutive", "random"]
    )
    max_segments: Annotated[int | None, Limits(1, 10**6)] = option(
        None, "Maximum number of segments per clip; the paper takes 10 of music and scenes."
    )
    drop_last: bool = option(False, "Drop a last segment that the clip does not fill, as the paper does.")
    short_clips: str = option(
        "zero",
        "How to fill up short clips: zero, tile (the clip again) or repeat (each sample; fills all of max_segments).",
        choices=["zero", "tile", "repeat"],
    )
    do_normalize: bool = option(False, "Zero mean and unit variance for each segment (section VII-D).")
    mean: Annotated[float, Limits()] = option(
        0.0, "Mean of the data set, subtracted; see training/paper.yaml for the authors'."
    )
    std: Annotated[float, Limits(above=0)] = option(1.0, "Standard deviation of the data set, divided by.")

    # Optimisation
    num_epochs: Annotated[int, Limits(1, 9999)] = option(100, "Maximum number of epochs.")
    batch_size: Annotated[int, Limits(2, 2**16)] = option(
        23, "Segments per batch in each process; batch norm needs at least 2."
    )
    optimizer: str = option("sgd", "sgd (Nesterov momentum 0.9) or adamw.", choices=["sgd", "adamw"])
    learning_rate: Annotated[float, Limits(above=0)] = option(
        0.01, "Learning rate at the start, or after the warm-up."
    )
    weight_decay: Annotated[float, Limits(0)] = option(0.0, "Weight decay.")
    monitor: str = option(
        "metric",
        "What makes an epoch the best one: metric (the task's; then the loss), or segment_loss (the mean loss of the "
        "validation segments, as in the authors' code).",
        choices=["metric", "segment_loss"],
    )
    keep: str = option("best", "Weights to keep: of the best epoch, or of the last.", choices=["best", "last"])
    schedule: str = option(
        "plateau", "plateau, or cosine (by the step, after a linear warm-up).", choices=["plateau", "cosine"]
    )
    plateau_patience: Annotated[int, Limits(1, 9999)] = option(
        2, "plateau: epochs without a new best one until the learning rate is cut."
    )
    plateau_factor: Annotated[float, Limits(above=0, below=1)] = option(
        0.2, "plateau: what the learning rate is multiplied by."
    )
    plateau_reload: bool = option(
        False, "plateau: each cut goes back to the weights of its stage's best epoch, without momentum."
    )
    min_learning_rate: Annotated[float, Limits(0)] = option(
        1e-5, "plateau: the run ends once the learning rate is cut below this."
    )
    learning_rate_decay: Annotated[float, Limits(0)] = option(
        0.0, "plateau: divide the learning rate by 1 + this times the steps since the last cut (Keras' decay)."
    )
    warmup_epochs: Annotated[float, Limits(0, 9999)] = option(0.0, "cosine: epochs of warm-up.")
    dropout: Fraction = option(0.5, "Dropout before the output layer.")
    batch_norm_momentum: Annotated[float, Limits(above=0, maximum=1)] = option(
        0.01, "Weight of a batch in the running statistics of batch norm."
    )
    label_smoothing: Fraction = option(0.0, "Share of the target spread evenly over all labels.")
    average_decay: Fraction = option(0.0, "Decay per step of the moving average of the weights; 0 for none.")

    # Augmentation of training segments, each drawn anew for every segment
    mixup: Annotated[float, Limits(0, 100)] = option(0.0, "Alpha of mixup; 0 for none.")
    time_shift: Annotated[float, Limits(0, 60)] = option(0.0, "Shift by up to this many seconds, either way.")
    speed: Fraction = option(0.0, "Change speed by up to this fraction, either way.")
    gain: Annotated[float, Limits(0, 100)] = option(0.0, "Change level by up to this many dB, either way.")
    noise: Annotated[float, Limits(0, 1)] = option(
        0.0, "Probability of noise (the data set's own recordings, else white) at 5 to 40 dB SNR."
    )

    # Run
    seed: Annotated[int, Limits(0, 2**31 - 1)] = option(0, "Seed of everything random.")
    mixed_precision: str = option(
        "auto",
        "bf16, fp16 or no; auto is bf16 where the hardware computes it.",
        choices=["auto", "bf16", "fp16", "no"],
    )
    eval_batch_size: Annotated[int, Limits(1, 2**16)] = option(8, "Clips per batch in evaluation.")
    threads: Annotated[int | None, Limits(1, 1024)] = option(
        None, "CPU threads in each process; all cores, divided among the processes, unless given."
    )

    def __post_init__(self):
        check_values(self)
        if self.synthetic and self.source not in STAND_INS:
            raise RecipeError(f"--synthetic data can be made for {', '.join(STAND_INS)}; not for {self.source}")
        if self.synthetic and self.data_dir is None:
            self.data_dir = f"data/synthetic/{self.source}"
        for name in ("data_dir", "output_dir"):
            if getattr(self, name) is None:
                raise RecipeError(f"--{name} is missing")
        if 0 < self.mixup < 0.01:  # torch would draw 0.5 in place of the 0 and 1 of such a beta distribution
            raise RecipeError(f"--mixup must be 0 or at least 0.01; got {self.mixup}")
        if self.plateau_reload and self.average_decay:
            raise RecipeError("--plateau_reload needs the weights as trained, not their average: --average_decay 0")
        if self.plateau_reload and self.keep == "last":
            raise RecipeError("--plateau_reload goes back to the best weights: --keep best")
        if self.freeze and self.pretrained is None:
            raise RecipeError("--freeze keeps layers of a pretrained network as they are: give --pretrained")
        if self.pretrained is None:
            try:  # what the network and its input do not take is said now, not after the data are decoded
                self.create_feature_extractor(self.create_config(["a", "b"], "single_label_classification"))
            except (ValueError, StrictDataclassError) as error:
                raise RecipeError(str(error.__cause__ or error)) from error

    def create_config(self, labels: list[str], problem_type: str) -> SampleCNNConfig:
        """Configuration of a new network for these labels."""
        return create_config(
            self.variant,
            initializer=self.initializer,
            dropout=self.dropout,
            batch_norm_momentum=self.batch_norm_momentum,
            problem_type=problem_type,
            id2label=dict(enumerate(labels)),
            label2id={label: i for i, label in enumerate(labels)},
        )

    def create_feature_extractor(self, config: SampleCNNConfig) -> SampleCNNFeatureExtractor:
        return SampleCNNFeatureExtractor(
            sampling_rate=config.sampling_rate,
            segment_length=config.segment_length,
            max_segments=self.max_segments,
            drop_last=self.drop_last,
            short_clips=self.short_clips,
            do_normalize=self.do_normalize,
            mean=self.mean,
            std=self.std,
        )

    def take_over(self, extractor: SampleCNNFeatureExtractor):
        """Record the input of a pretrained network in place of the one this recipe would have made."""
        self.variant = self.initializer = None
        for name in FROM_PRETRAINED:
            setattr(self, name, getattr(extractor, name))

    @property
    def inputs(self) -> tuple[str | None, ...]:
        """Folders and files that the run reads."""
        return self.data_dir, self.cache_dir, self.recipe, self.pretrained

    def changed_option(self, earlier: dict, but: Sequence[str] = ()) -> str | None:
        """
        How this recipe differs from `earlier`, the recipe of a run that it is to go on with; None if it does not.

        Options that `earlier` lacks had their defaults; `but` and those that do not change the weights may differ.
        """
        skipped = {*MAY_CHANGE, *but}
        if self.pretrained is not None:
            skipped |= {"variant", "initializer", *FROM_PRETRAINED}
        defaults = {f.name: f.default if f.default_factory is MISSING else f.default_factory() for f in fields(self)}
        for name, before in {**defaults, **earlier}.items():
            if name in defaults and name not in skipped and before != getattr(self, name):
                return f"{name} {before}, not {getattr(self, name)}"
        return None


def check_values(recipe: Recipe):
    """Raise `RecipeError` for a value of the wrong type, or one that its option does not allow."""
    hints = get_type_hints(type(recipe), include_extras=True)
    for f in fields(recipe):
        name, value, hint = f.name, getattr(recipe, f.name), hints[f.name]
        hint, *limits = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        types = get_args(hint) or (hint,)
        if value is None and NoneType in types:
            continue
        if type(value) not in types and not (type(value) is int and float in types):
            raise RecipeError(f"--{name} must be {TYPE_NAMES[types[0]]}; got a value of type {type(value).__name__}")
        if isinstance(value, str):
            check_text(name, value)
        if limits and value not in limits[0]:  # NaN never is
            raise RecipeError(f"--{name} must be {limits[0]}; got {value}")
        choices = f.metadata.get("choices", [value])
        if value not in choices:
            raise RecipeError(f"--{name} must be one of {', '.join(choices)}; got {value!r}")


def check_text(option: str, text: str):
    """Raise `RecipeError` for text that cannot be written to a card: empty, not UTF-8, or with control characters."""
    if not text.strip():
        raise RecipeError(f"--{option} is empty")
    if not is_one_line(text):
        raise RecipeError(
            f"--{option} {ascii(text)} must be valid UTF-8 without line breaks and control characters; rename it"
        )


def parse_recipe(
    argv: list[str] | None = None, description: str = "Train SampleCNN; ends in a folder ready for the Hub."
) -> Recipe:
    """
    Command line (`--recipe FILE --any_field value ...`) -> `Recipe`.

    Raises:
        RecipeError: a file that cannot be read, a field that does not exist, a value that does not fit, a required
            field that is missing.
    """
    argv = sys.argv[1:] if argv is None else argv
    file_parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    file_parser.add_argument("--recipe")
    file_parser.error = _fail
    path = file_parser.parse_known_args(argv)[0].recipe
    values = read_recipe(path) if path is not None else {}

    parser = HfArgumentParser(Recipe, allow_abbrev=False, description=description)
    parser.error = _fail  # argparse would print a screenful of usage
    recipe, unknown = parser.parse_args_into_dataclasses(
        [f"--{name}={value}" for name, value in values.items()] + argv,
        return_remaining_strings=True,
        look_for_args_file=False,
    )
    if unknown:
        close = difflib.get_close_matches(
            unknown[0].partition("=")[0], [f"--{f.name}" for f in fields(Recipe)], n=1, cutoff=0.8
        )
        raise RecipeError(
            f"unknown option {unknown[0]}; {f'did you mean {close[0]}?' if close else '--help lists all'}"
        )
    given = {argument.partition("=")[0] for argument in argv}
    fixed = [name for name in ("variant", "initializer", *FROM_PRETRAINED) if f"--{name}" in given]
    if recipe.pretrained is not None and fixed:
        raise RecipeError(f"--pretrained brings its own network and input: leave out --{' and --'.join(fixed)}")
    if recipe.synthetic and "--num_epochs" not in given:  # the recipes are for larger data
        recipe.num_epochs = min(recipe.num_epochs, STAND_INS[recipe.source].num_epochs)
    return recipe


def _fail(message: str):
    raise RecipeError(message)


def read_recipe(path: str) -> dict[str, str]:
    """
    The fields of a YAML recipe that are not null, as they are written; the command line gives them their types.

    No YAML value is ever built: anchors, tags and nesting have no effect here.
    """
    try:
        if not os.path.isfile(path):  # a pipe may never end
            raise FileNotFoundError("there is no such file")
        with open(path, encoding="utf-8-sig") as file:
            text = file.read(MAX_RECIPE_BYTES + 1)
        if len(text) > MAX_RECIPE_BYTES:
            raise ValueError("it is too large for a recipe")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise RecipeError(f"cannot read the recipe {path}: {one_line(error)}") from error
    if not isinstance(node, yaml.MappingNode):
        raise RecipeError(f"{path} must hold lines of the form 'name: value'")
    values, known = {}, {f.name for f in fields(Recipe)} - {"recipe"}
    for key, value in node.value:
        name = key.value if isinstance(key, yaml.ScalarNode) else None
        where = f"{path}, line {key.start_mark.line + 1}"
        if name not in known:
            raise RecipeError(f"{where}: unknown field {name!r}; train.py --help lists them all")
        if name in values:
            raise RecipeError(f"{where}: {name} is there twice")
        if value.tag not in SCALAR_TAGS:
            raise RecipeError(f"{where}: {name} must be a single plain value")
        values[name] = None if value.tag.endswith(":null") else value.value
    return {name: value for name, value in values.items() if value is not None}
