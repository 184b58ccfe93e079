"""A recipe: every choice of a training run, from a YAML file with command-line overrides."""

import argparse
import difflib
import sys
from dataclasses import dataclass, field, fields

import yaml
from huggingface_hub.errors import StrictDataclassError
from transformers import HfArgumentParser

from samplecnn_hf import SampleCNNConfig, SampleCNNFeatureExtractor, create_config
from training.command import UserError
from training.data.synthetic import STAND_INS


class RecipeError(UserError):
    """What is wrong with the recipe or the command line, in one line."""


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
    cache_dir: str | None = option(None, "Folder for the decoded clips; beside what `datasets` caches, unless given.")
    output_dir: str | None = option(None, "Folder to make: the trained model, ready for the Hub.")
    overwrite: bool = option(False, "Replace output_dir if it exists.")
    resume: bool = option(False, "Go on from the last finished epoch of an interrupted run, if there is one.")

    license: str = option("apache-2.0", "Licence of the weights on the card, a name that the Hub knows.")
    data_license: str | None = option(None, "Licence of the data on the card; data sets known by name have theirs.")

    # Network
    variant: str | None = option("se-8", "Network by name; see samplecnn_hf.list_variants().")
    pretrained: str | None = option(None, "Folder or Hub id to fine-tune: it brings its own network and input.")
    freeze: int = option(0, "Number of lowest layers (the front end, then the blocks) that are not trained.")
    warm_statistics: bool = option(
        False, "Before the first epoch, re-estimate the batch-norm statistics on the training clips."
    )
    initializer: str | None = option("he_uniform", "he_uniform, or sampleaudio for that of the authors' code.")

    # Input (the feature extractor's options)
    crop: str = option(
        "consecutive", "Training segments: consecutive (the paper) or random.", choices=["consecutive", "random"]
    )
    max_segments: int | None = option(None, "Segments a clip at most; the paper takes 10 of music and scenes.")
    drop_last: bool = option(False, "Drop a last segment that the clip does not fill, as the paper does.")
    short_clips: str = option(
        "zero", "Fill short clips with zeros, or with themselves (tile).", choices=["zero", "tile"]
    )
    do_normalize: bool = option(False, "Zero mean and unit variance for each segment (section VII-D).")
    mean: float = option(0.0, "Mean of the data set, subtracted; see training/paper.yaml for the authors'.")
    std: float = option(1.0, "Standard deviation of the data set, divided by.")

    # Optimisation
    num_epochs: int = option(100, "Epochs at most.")
    batch_size: int = option(23, "Segments a batch, in each process.")
    optimizer: str = option("sgd", "sgd (Nesterov momentum 0.9) or adamw.", choices=["sgd", "adamw"])
    learning_rate: float = option(0.01, "Learning rate at the start, or after the warm-up.")
    weight_decay: float = option(0.0, "Weight decay.")
    schedule: str = option(
        "plateau", "plateau or cosine (by the step, after a linear warm-up).", choices=["plateau", "cosine"]
    )
    plateau_patience: int = option(2, "plateau: epochs without a lower validation loss until the rate is cut.")
    plateau_factor: float = option(0.2, "plateau: what the rate is multiplied by.")
    plateau_reload: bool = option(
        False, "plateau: at each cut go back to the best weights (by the metric), without momentum."
    )
    keep: str = option(
        "best", "Weights to keep: of the best epoch on the validation split, or the last.", choices=["best", "last"]
    )
    min_learning_rate: float = option(1e-5, "plateau: the run ends once the rate falls below it.")
    warmup_epochs: float = option(0.0, "cosine: epochs of warm-up.")
    dropout: float = option(0.5, "Dropout before the output layer.")
    batch_norm_momentum: float = option(0.01, "Weight of a batch in the batch norm's running statistics.")
    label_smoothing: float = option(0.0, "Share of the target spread evenly over all labels.")
    average_decay: float = option(0.0, "Decay a step of the moving average of the weights; 0 for none.")

    # Augmentation of training segments, each drawn anew for every segment
    mixup: float = option(0.0, "Alpha of mixup; 0 for none.")
    time_shift: float = option(0.0, "Shift by up to this many seconds, either way.")
    speed: float = option(0.0, "Change speed by up to this fraction, either way.")
    gain: float = option(0.0, "Change level by up to this many dB, either way.")
    noise: float = option(0.0, "Probability of noise (the data set's own recordings, else white) at 5 to 40 dB SNR.")

    # Run
    seed: int = option(0, "Seed of everything random.")
    mixed_precision: str = option(
        "auto",
        "bf16, fp16 or no; auto is bf16 where the hardware computes it.",
        choices=["auto", "bf16", "fp16", "no"],
    )
    eval_batch_size: int = option(8, "Clips a batch in evaluation.")
    threads: int | None = option(None, "CPU threads in each process; all cores, divided among the processes.")

    def __post_init__(self):
        if self.synthetic and self.source not in STAND_INS:
            raise RecipeError(f"--synthetic data can be made for {', '.join(STAND_INS)}; not for {self.source}")
        if self.synthetic and self.data_dir is None:
            self.data_dir = f"data/synthetic/{self.source}"
        for name in ("data_dir", "output_dir"):
            if getattr(self, name) is None:
                raise RecipeError(f"--{name} is missing")
        if self.plateau_reload and self.average_decay:
            raise RecipeError("--plateau_reload needs the weights as trained, not their average: --average_decay 0")
        if self.plateau_reload and self.keep == "last":
            raise RecipeError("--plateau_reload goes back to the best weights: --keep best")
        for name in ("num_epochs", "eval_batch_size", "learning_rate", "plateau_patience"):
            if getattr(self, name) <= 0:
                raise RecipeError(f"--{name} must be positive; got {getattr(self, name)}")
        for name in ("weight_decay", "warmup_epochs", "mixup", "time_shift", "gain", "noise"):
            if getattr(self, name) < 0:
                raise RecipeError(f"--{name} must not be negative; got {getattr(self, name)}")
        for name in ("label_smoothing", "average_decay", "speed"):
            if not 0 <= getattr(self, name) < 1:
                raise RecipeError(f"--{name} must be at least 0 and below 1; got {getattr(self, name)}")
        if self.batch_size < 2:
            raise RecipeError(f"--batch_size must be at least 2 for the batch norm; got {self.batch_size}")
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
        for name in ("max_segments", "drop_last", "short_clips", "do_normalize", "mean", "std"):
            setattr(self, name, getattr(extractor, name))


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
    if recipe.pretrained is not None and given & {"--variant", "--initializer"}:
        raise RecipeError("--pretrained brings its own network: leave out --variant and --initializer")
    if recipe.synthetic and "--num_epochs" not in given:  # the recipes are for larger data
        recipe.num_epochs = min(recipe.num_epochs, STAND_INS[recipe.source].num_epochs)
    return recipe


def _fail(message: str):
    raise RecipeError(message)


def read_recipe(path: str) -> dict:
    """Fields of a YAML recipe that are not null, checked by name."""
    try:
        with open(path, encoding="utf-8") as file:
            values = yaml.safe_load(file)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"cannot read the recipe {path}: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise RecipeError(f"{path} must hold lines of the form 'name: value'")
    unknown = [name for name in values if name not in {f.name for f in fields(Recipe)}]
    if unknown:
        raise RecipeError(f"{path} has an unknown field {unknown[0]!r}; train.py --help lists them all")
    return {name: value for name, value in values.items() if value is not None}
