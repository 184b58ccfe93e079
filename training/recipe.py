"""A recipe: every choice of a training run, from a YAML file with command-line overrides."""

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

from transformers import PreTrainedConfig

from samplecnn_hf import (
    SampleCNNConfig,
    SampleCNNFeatureExtractor,
    SampleCNNForAudioClassification,
    create_config,
)
from samplecnn_hf.configuration_samplecnn import BOUNDS
from samplecnn_hf.loading import load_for_fine_tuning, model_license
from training.data import load_source
from training.data.source import Source
from training.errors import RecipeError
from training.options import Limits, check_options, option, parse_arguments, read_yaml
from training.synthetic.sources import SYNTHETIC_SOURCES, ensure_synthetic_data

ROOT = Path(__file__).parents[1]
DEFAULT_LICENSE = "apache-2.0"
# Options that may change when a run is resumed: the weights do not depend on them.
MAY_CHANGE = {"recipe", "output_dir", "overwrite", "resume", "cache_dir", "threads", "paper_counts"}
MAY_CHANGE |= {"license", "data_license", "language"}
# Options of the feature extractor, and all that a pretrained network decides.
EXTRACTOR = ("max_segments", "drop_last", "short_clips", "do_normalize", "mean", "std")
FROM_PRETRAINED = ("variant", "initializer", *EXTRACTOR)
# Fields of the config that describe no network, but the labels or how transformers runs it.
NOT_OF_NETWORK = {"num_labels", "thresholds", *(f.name for f in fields(PreTrainedConfig))}

Fraction = Annotated[float, Limits(minimum=0, below=1)]
Positive = Annotated[float, Limits(above=0)]
NotNegative = Annotated[float, Limits(minimum=0)]


@dataclass
class Recipe:
    """All options of a training run: data, network, input, optimization and augmentation."""

    recipe: str | None = option(None, "YAML file with any of the fields below; the command line overrides it.")

    # Data and output
    source: str = option("folder", "Kind of dataset: folder for your own; docs/data.md lists the others.")
    data_dir: str | None = option(None, "Folder of the dataset; for the source hub, its id on the Hub.")
    synthetic: bool = option(False, "Generate a small synthetic dataset instead of the real one, and train on it.")
    paper_counts: bool = option(False, "Require the paper's number of clips per split (Table I).")
    cache_dir: str | None = option(None, "Folder for the decoded clips; by default in the cache of `datasets`.")
    output_dir: str | None = option(None, "Output folder for the trained model.")
    overwrite: bool = option(False, "Replace the model in output_dir once the new one is complete.")
    resume: bool = option(False, "Resume an interrupted run, if there is one, after its last finished epoch.")

    license: str | None = option(
        None, "License of the weights, as a license id of the Hub; by default the pretrained model's, or apache-2.0."
    )
    data_license: str | None = option(None, "License of the data; by default the known license of the dataset.")
    language: str | None = option(None, "Language code of speech data for the model card, such as ar.")

    # Network
    variant: str | None = option("se-8", "Network by name; see samplecnn_hf.list_variants().")
    model_kwargs: dict = option({}, "Fields of the network's config to override: se_ratio=16 num_blocks=7.")
    pretrained: str | None = option(None, "Folder or Hub id of a model to fine-tune, with its network and input.")
    freeze: Annotated[int, Limits(0, 1 + BOUNDS["num_blocks"][1])] = option(
        0, "Number of layers of the pretrained network to freeze: the front end, then blocks from the bottom."
    )
    warm_statistics: bool = option(
        False, "Re-estimate the batch norm statistics on the training clips before the first epoch."
    )
    initializer: str | None = option(
        "he_uniform", "Weight initialization: he_uniform or sampleaudio (the authors' code)."
    )

    # Input (the feature extractor's options)
    crop: Literal["consecutive", "random"] = option(
        "consecutive", "Training segments: consecutive (the paper) or random."
    )
    max_segments: Annotated[int | None, Limits(1, 10**6)] = option(
        None, "Maximum number of segments per clip; the paper takes 10 of music and scenes."
    )
    hop_length: Annotated[int | None, Limits(1, 10**6)] = option(
        None, "Samples between the starts of two segments in evaluation; by default they do not overlap."
    )
    drop_last: bool = option(False, "Drop the last segment if the clip does not fill it, as the paper does.")
    short_clips: Literal["zero", "tile", "repeat"] = option(
        "zero", "Padding of short clips: zero, tile (repeat the clip) or repeat (each sample; fills max_segments)."
    )
    do_normalize: bool = option(False, "Zero mean and unit variance for each segment (section VII-D).")
    mean: Annotated[float, Limits()] = option(
        0.0, "Mean subtracted from the waveform, such as --mean=-8.5e-05; training/paper.yaml has the authors'."
    )
    std: Positive = option(1.0, "Standard deviation by which the waveform is divided.")

    # Optimization
    num_epochs: Annotated[int, Limits(1, 9999)] = option(100, "Maximum number of epochs.")
    batch_size: Annotated[int, Limits(2, 2**16)] = option(
        23, "Segments per batch in each process; batch norm needs at least 2."
    )
    optimizer: Literal["sgd", "adamw"] = option("sgd", "sgd (Nesterov momentum 0.9) or adamw.")
    learning_rate: Positive = option(0.01, "Initial learning rate, or the peak after the warm-up.")
    weight_decay: NotNegative = option(0.0, "Weight decay.")
    monitor: Literal["metric", "segment_loss"] = option(
        "metric",
        "Score that selects the best epoch: metric (the task's; the loss breaks ties) or segment_loss (mean loss of "
        "the validation segments, as in the authors' code).",
    )
    keep: Literal["best", "last"] = option("best", "Weights to save: of the best or the last epoch.")
    schedule: Literal["plateau", "cosine"] = option("plateau", "plateau, or cosine (per step, with linear warm-up).")
    plateau_patience: Annotated[int, Limits(1, 9999)] = option(
        2, "plateau: epochs without improvement before the learning rate is reduced."
    )
    plateau_factor: Annotated[float, Limits(above=0, below=1)] = option(
        0.2, "plateau: factor by which the learning rate is reduced."
    )
    plateau_reload: bool = option(
        False, "plateau: after each reduction, reload the best weights of the stage and reset the momentum."
    )
    min_learning_rate: NotNegative = option(1e-5, "plateau: stop when the learning rate falls below this.")
    learning_rate_decay: NotNegative = option(
        0.0, "plateau: divide the learning rate by (1 + decay * steps since the last reduction), as Keras."
    )
    warmup_epochs: Annotated[float, Limits(0, 9999)] = option(0.0, "cosine: epochs of warm-up.")
    dropout: Fraction = option(0.5, "Dropout before the output layer.")
    batch_norm_momentum: Annotated[float, Limits(above=0, maximum=1)] = option(
        0.01, "Weight of a batch in the running statistics of batch norm."
    )
    sync_batch_norm: bool = option(False, "Synchronize batch norm statistics across processes (needs GPUs).")
    label_smoothing: Fraction = option(0.0, "Label smoothing factor.")
    average_decay: Fraction = option(0.0, "EMA decay per step (0 disables).")

    # Augmentation, drawn independently for each training segment
    mixup: Annotated[float, Limits(0, 100)] = option(
        0.0, "Alpha of mixup, with the levels in the ratio of the labels (0 disables); 1 draws all ratios equally."
    )
    time_shift: Annotated[float, Limits(0, 60)] = option(0.0, "Maximum time shift in seconds, in either direction.")
    speed: Fraction = option(0.0, "Maximum relative change of speed, in either direction.")
    tempo: Fraction = option(
        0.0, "Maximum change of tempo at constant pitch: factors from 1 / (1 + tempo) to 1 + tempo."
    )
    formants: Fraction = option(
        0.0, "Maximum relative shift of the formants at constant pitch, in either direction: other voices."
    )
    reverberation: Annotated[float, Limits(0, 1)] = option(0.0, "Probability of adding the reverberation of a room.")
    equalizer: Annotated[float, Limits(0, 100)] = option(
        0.0, "Maximum gain in dB, in either direction, of a random filter with a smooth frequency response."
    )
    phase: Annotated[float, Limits(0, 1)] = option(
        0.0, "Maximum phase shift, as a fraction of half a cycle, of a random filter with a smooth phase response."
    )
    gain: Annotated[float, Limits(0, 100)] = option(0.0, "Maximum change of level in dB, in either direction.")
    noise: Annotated[float, Limits(0, 1)] = option(
        0.0, "Probability of adding noise (background recordings, otherwise white to brown) at 5 to 40 dB SNR."
    )
    time_mask: Fraction = option(0.0, "Maximum fraction of a segment that is silenced.")

    # Run
    seed: Annotated[int, Limits(0, 2**31 - 1)] = option(0, "Random seed.")
    mixed_precision: Literal["auto", "bf16", "fp16", "no"] = option(
        "auto", "bf16, fp16 or no; auto is bf16 where the hardware supports it."
    )
    eval_batch_size: Annotated[int, Limits(1, 2**16)] = option(8, "Clips per batch in evaluation.")
    threads: Annotated[int | None, Limits(1, 1024)] = option(
        None, "CPU threads per process; by default all cores, divided among the processes."
    )

    @classmethod
    def load(cls, path: str | Path | None = None, **changes) -> "Recipe":
        """
        Read a YAML file and override some of its fields; given `model_kwargs` are added to the file's.

        On synthetic data the number of epochs is limited, because the recipes are for larger data, unless `num_epochs`
        is given.

        Args:
            path: YAML file. None: the defaults.
            **changes: values of fields.

        Raises:
            RecipeError: a file that cannot be read, an unknown field, an invalid value or a missing required field.
        """
        in_file = {} if path is None else read_yaml(cls, str(path)) | {"recipe": str(path)}
        values = in_file | changes
        fixed = [name for name in FROM_PRETRAINED if name in changes]
        if values.get("pretrained") is not None and fixed:
            raise RecipeError(f"--pretrained brings its own network and input: do not pass --{' and --'.join(fixed)}")
        if changes.get("pretrained") is None:
            values["model_kwargs"] = in_file.get("model_kwargs", {}) | changes.get("model_kwargs", {})
        elif "model_kwargs" not in changes:
            values.pop("model_kwargs", None)  # of the file's network
        recipe = cls(**values)
        if recipe.synthetic and "num_epochs" not in changes:
            recipe.num_epochs = min(recipe.num_epochs, SYNTHETIC_SOURCES[recipe.source].num_epochs)
        return recipe

    def __post_init__(self):
        check_options(self)
        if self.synthetic and self.source not in SYNTHETIC_SOURCES:
            raise RecipeError(
                f"--synthetic data can be made for {', '.join(SYNTHETIC_SOURCES)}; not for {self.source}"
            )
        if self.synthetic and self.data_dir is None:
            self.data_dir = f"data/synthetic/{self.source}"
        for name in ("data_dir", "output_dir"):
            if getattr(self, name) is None:
                raise RecipeError(f"--{name} is missing")
        if 0 < self.mixup < 0.01:  # torch would draw 0.5 instead of the 0 and 1 of such a beta distribution
            raise RecipeError(f"--mixup must be 0 or at least 0.01; got {self.mixup}")
        if self.plateau_reload and self.average_decay:
            raise RecipeError("--plateau_reload needs the trained weights, not their average: set --average_decay 0")
        if self.plateau_reload and self.keep == "last":
            raise RecipeError("--plateau_reload reloads the best weights: set --keep best")
        if self.schedule == "plateau" and self.learning_rate < self.min_learning_rate:
            raise RecipeError(
                f"--learning_rate {self.learning_rate} is below --min_learning_rate {self.min_learning_rate}, where "
                "training ends"
            )
        if self.freeze and self.pretrained is None:
            raise RecipeError("--freeze is for layers of a pretrained network: give --pretrained")
        if self.model_kwargs and self.pretrained is not None:
            raise RecipeError("--model_kwargs is for a new network: leave it out with --pretrained")
        if self.pretrained is None:
            try:  # invalid values are reported now, not after the data are decoded
                self.create_feature_extractor(self.create_config(["a", "b"], "single_label_classification"))
            except ValueError as error:
                raise RecipeError(str(error)) from error

    def create_config(self, labels: list[str], problem_type: str) -> SampleCNNConfig:
        """Configuration of a new network for these labels."""
        options = {name: getattr(self, name) for name in ("initializer", "dropout", "batch_norm_momentum")}
        for name in self.model_kwargs:
            if name in options:
                raise RecipeError(f"--model_kwargs cannot set {name}: use --{name}")
            if name in NOT_OF_NETWORK:
                raise RecipeError(f"--model_kwargs cannot set {name}: it does not describe the network")
        return create_config(
            self.variant,
            problem_type=problem_type,
            id2label=dict(enumerate(labels)),
            **options,
            **self.model_kwargs,
        )

    def create_feature_extractor(self, config: SampleCNNConfig) -> SampleCNNFeatureExtractor:
        """Feature extractor of a new network."""
        options = {name: getattr(self, name) for name in (*EXTRACTOR, "hop_length")}
        return SampleCNNFeatureExtractor(
            sampling_rate=config.sampling_rate, segment_length=config.segment_length, **options
        )

    def create_model(self, source: Source) -> tuple[SampleCNNForAudioClassification, SampleCNNFeatureExtractor]:
        """A new or pretrained network for the labels of `source`, and its feature extractor."""
        if self.license is None:
            self.license = model_license(self.pretrained) or DEFAULT_LICENSE
        if self.pretrained is None:
            config = self.create_config(source.labels, source.problem_type)
            return SampleCNNForAudioClassification(config), self.create_feature_extractor(config)
        model, extractor = load_for_fine_tuning(
            self.pretrained,
            problem_type=source.problem_type,
            id2label=dict(enumerate(source.labels)),
            label2id={label: i for i, label in enumerate(source.labels)},
            dropout=self.dropout,
            batch_norm_momentum=self.batch_norm_momentum,
        )
        if self.freeze > 1 + model.config.num_blocks:
            raise RecipeError(f"--freeze must be at most {1 + model.config.num_blocks} for {self.pretrained}")
        self.adopt_extractor(extractor)
        if self.hop_length is None:
            self.hop_length = extractor.hop_length
        elif self.hop_length > extractor.segment_length:
            raise RecipeError(f"--hop_length must be at most {extractor.segment_length} for {self.pretrained}")
        extractor.hop_length = self.hop_length
        return model, extractor

    def adopt_extractor(self, extractor: SampleCNNFeatureExtractor):
        """Record the input of a pretrained network instead of the one this recipe would have created."""
        self.variant = self.initializer = None
        for name in EXTRACTOR:
            setattr(self, name, getattr(extractor, name))

    def load_source(self) -> Source:
        """The dataset; with `synthetic` it is generated first, unless it is there already. Raises `DataError`."""
        if self.synthetic:
            ensure_synthetic_data(self.source, Path(self.data_dir))
        return load_source(self.source, self.data_dir)

    @property
    def base_model(self) -> str | None:
        """Hub id of the pretrained network. None: it is a local folder, or there is none."""
        name = self.pretrained or ""
        return name if name.count("/") == 1 and not os.path.exists(name) else None

    @property
    def inputs(self) -> tuple[str | None, ...]:
        """Folders and files that the run reads."""
        return self.data_dir, self.cache_dir, self.recipe, self.pretrained

    def check_same_run(self, earlier: dict, published: bool = False):
        """
        Check that this recipe may resume or reuse a run with the recipe `earlier`.

        Args:
            earlier: fields of the run's recipe; a field that is missing had its default.
            published: whether `earlier` has public paths only, as in `results.json`. The data must be compared, then.

        Raises:
            RecipeError: an option differs that the weights depend on.
        """
        ignored = MAY_CHANGE | ({"data_dir"} if published else set())
        if self.pretrained is not None:
            ignored |= {*FROM_PRETRAINED} | ({"hop_length"} if self.hop_length is None else set())
        earlier = {"model_kwargs": {}, **earlier}
        for f in fields(self):
            before, now = earlier.get(f.name, f.default), getattr(self, f.name)
            if published and isinstance(now, str):
                now = public_path(now)
            if f.name not in ignored and before != now:
                raise RecipeError(
                    f"{self.output_dir} was trained with --{f.name} {before}, not {now}: give the same options to "
                    "resume, or choose another folder"
                )


def parse_recipe(argv: list[str] | None = None, description: str | None = None) -> Recipe:
    """Command line (`--recipe FILE --any_field value ...`) -> `Recipe`. Raises `RecipeError` as `Recipe.load`."""
    given = parse_arguments(Recipe, argv, description)
    return Recipe.load(given.pop("recipe", None), **given)


def public_path(path: str | None) -> str | None:
    """A path without the folders of this machine: relative to this checkout or, outside of it, the name alone."""
    if path is None or not os.path.isabs(path):
        return path
    place = Path(os.path.abspath(path))
    return str(place.relative_to(ROOT)) if place.is_relative_to(ROOT) else place.name
