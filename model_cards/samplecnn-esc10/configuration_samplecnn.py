"""Configuration of SampleCNN (Kim, Lee and Nam, IEEE JSTSP 2019), for all networks of the paper."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

BLOCK_TYPES = ("basic", "se", "res1", "res2", "rese1", "rese2")
CHOICES = {
    "front_end": ("waveform", "mel"),
    "block_type": BLOCK_TYPES,
    "initializer": ("he_uniform", "sampleaudio"),
    "partial_frames": ("drop", "pad"),
    "problem_type": ("single_label_classification", "multi_label_classification"),
}
# Generous limits, so that loading an untrusted config.json cannot allocate unlimited memory.
BOUNDS = {
    "sampling_rate": (1, 1_000_000),
    "segment_length": (1, 100_000_000),
    "stem_kernel_size": (1, 16_384),
    "stem_stride": (1, 16_384),
    "stem_channels": (1, 1024),
    "num_blocks": (1, 16),
    "num_strided_convolutions": (0, 17),
    "first_doubling": (0, 16),
    "se_ratio": (1e-4, 16),
    "block_dropout": (0, 0.999),
    "dropout": (0, 0.999),
    "n_fft": (2, 16_384),
    "mel_compression": (1e-6, 1e6),
    "batch_norm_eps": (1e-12, 1),
    "batch_norm_momentum": (0, 1),
}
MAX_SQUEEZE = 8192  # units of a squeeze layer; the paper's maximum is 16 * 512
MAX_LABELS = 100_000
MAX_NESTING = 20
DTYPES = ("float64", "float32", "float16", "bfloat16")

# Classes that the Auto classes and `pipeline` load from a saved folder.
AUTO_MAP = {
    "AutoConfig": "configuration_samplecnn.SampleCNNConfig",
    "AutoModel": "modeling_samplecnn.SampleCNNModel",
    "AutoModelForAudioClassification": "modeling_samplecnn.SampleCNNForAudioClassification",
    "AutoFeatureExtractor": "feature_extraction_samplecnn.SampleCNNFeatureExtractor",
}
CUSTOM_PIPELINES = {
    "audio-classification": {
        "impl": "pipeline_samplecnn.SampleCNNAudioClassificationPipeline",
        "pt": ["AutoModelForAudioClassification"],
        "type": "audio",
    }
}

# Filter, stride and pooling size of every block ("all 3 samples", section II-B).
KERNEL_SIZE = 3


def _is_nested_deeper(value, levels: int) -> bool:
    if not isinstance(value, (dict, list, tuple)):
        return False
    members = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_nested_deeper(member, levels - 1) for member in members)


@strict
class SampleCNNConfig(PreTrainedConfig):
    """
    Configuration of a SampleCNN. The defaults are the paper's basic network for music: 9 blocks on 59,049 samples.

    For the networks of the paper by name, see `samplecnn_hf.create_config` and `samplecnn_hf.list_variants`.

    Args:
        sampling_rate (`int`, defaults to 22050): Sampling rate of the waveform in Hz.
        segment_length (`int`, defaults to 59049): Samples per training segment (Table I). The network accepts any
            length of at least `min_samples`.
        front_end (`str`, defaults to `"waveform"`): `"waveform"` for a learned stem convolution, `"mel"` for the
            log-mel-spectrogram of the paper's spectrogram-based CNN (section V-A).
        stem_kernel_size (`int`, defaults to 3): Filter of the stem, or window of the mel-spectrogram, in samples.
        stem_stride (`int`, defaults to 3): Stride of the stem, or hop of the mel-spectrogram, in samples.
        stem_channels (`int`, defaults to 128): Channels of the stem, or number of mel bins. It scales all blocks.
        block_type (`str`, defaults to `"basic"`): One of `basic`, `se`, `res1`, `res2`, `rese1`, `rese2` (Fig. 3).
        num_blocks (`int`, defaults to 9): Number of blocks after the stem; each divides the frame rate by 3.
        num_strided_convolutions (`int`, defaults to 1): Number of lowest convolutions, including the stem, that
            subsample by striding instead of max-pooling (Fig. 5). With 0, the stem is followed by max-pooling.
        first_doubling (`int`, defaults to 2): Index of the block that doubles the channels; the last block doubles
            them again. The default is that of the authors' code. Where Fig. 4 drops `n` blocks for a longer stem,
            `max(0, 2 - n)` gives the remaining blocks the channels they have in the full network.
        partial_frames (`str`, defaults to `"drop"`): Handling of samples (frames) at the end that do not fill the
            stride of a stem, mel-spectrogram or strided convolution: `"drop"` them, or `"pad"` with zeros on both
            sides, as Keras does for `padding="same"`. Max-pooling always drops them.
        se_ratio (`float`, defaults to 0.125): Units of the squeeze relative to the channels, the paper's alpha.
        multi_level (`bool`, defaults to `False`): Embed the last three blocks instead of the last block.
        block_dropout (`float`, defaults to 0.2): Dropout between the two convolutions of `res2` and `rese2`.
        dropout (`float`, defaults to 0.5): Dropout before the output layer.
        n_fft (`int`, defaults to 1024): Size of the FFT of the `"mel"` front end.
        mel_compression (`float`, defaults to 10): C in log(1 + C * mel) of the `"mel"` front end.
        initializer (`str`, defaults to `"he_uniform"`): Initialization of the convolutions: `"he_uniform"`, or
            `"sampleaudio"` as in the authors' published code. Dense, squeeze-and-excitation and shortcut layers are
            always Glorot uniform.
        batch_norm_eps (`float`, defaults to 1e-3): Epsilon of the batch norms, Keras' default.
        batch_norm_momentum (`float`, defaults to 0.01): Momentum of the batch norms, Keras' default.
        problem_type (`str`, defaults to `"single_label_classification"`): Or `"multi_label_classification"`. It
            determines the loss and how segments are averaged, so it is never inferred.
        thresholds (`list[float]`, *optional*): Per-label decision thresholds, tuned on validation clips, for
            `threshold="tuned"` of the pipeline. They are dropped when a model is loaded with other labels
            (`num_labels`, `id2label`); tune them again after fine-tuning.
    """

    model_type = "samplecnn"
    keys_to_ignore_at_inference = ["segment_logits", "pooler_output", "hidden_states", "excitations"]

    sampling_rate: int = 22050
    segment_length: int = 59049
    front_end: str = "waveform"
    stem_kernel_size: int = 3
    stem_stride: int = 3
    stem_channels: int = 128
    block_type: str = "basic"
    num_blocks: int = 9
    num_strided_convolutions: int = 1
    first_doubling: int = 2
    partial_frames: str = "drop"
    se_ratio: float | int = 0.125
    multi_level: bool = False
    block_dropout: float | int = 0.2
    dropout: float | int = 0.5
    n_fft: int = 1024
    mel_compression: float | int = 10.0
    initializer: str = "he_uniform"
    batch_norm_eps: float | int = 1e-3
    batch_norm_momentum: float | int = 0.01
    problem_type: str = "single_label_classification"
    thresholds: list[float | int] | None = None

    # Fields of the base class, which does not check their types.
    architectures: list[str] | None = None
    chunk_size_feed_forward: int = 0
    id2label: dict[int | str, str] | None = None
    is_encoder_decoder: bool = False
    label2id: dict[str, int | str] | None = None
    output_hidden_states: bool | None = False
    return_dict: bool | None = True
    transformers_version: str | None = None

    def __new__(cls, *args, **kwargs):
        """Reject deeply nested values, which could not be printed, before the types of the fields are checked."""
        for name, value in kwargs.items():
            if _is_nested_deeper(value, MAX_NESTING):
                raise ValueError(f"{name} is nested more than {MAX_NESTING} levels deep")
        return super().__new__(cls)

    def __post_init__(self, **kwargs):
        """Check the other entries of a config.json before the base class assigns them."""
        for name, value in kwargs.items():
            attribute = getattr(type(self), name, None)
            can_be_set = attribute is None or (isinstance(attribute, property) and attribute.fset is not None)
            if name.startswith("rope_") or not (can_be_set or name == "model_type"):
                raise ValueError(f"{name} is not a field of a SampleCNN configuration")
            if name.endswith("_implementation") and not (isinstance(value, str | None) and str(value).isprintable()):
                raise ValueError(f"{name} must be the name of an implementation; got {value!r}")
        num_labels = kwargs.get("num_labels")
        if num_labels is not None and not (type(num_labels) is int and 1 <= num_labels <= MAX_LABELS):
            raise ValueError(f"num_labels must be an integer from 1 to {MAX_LABELS}; got {num_labels!r}")
        for name, dtype in (("dtype", self.dtype), ("torch_dtype", kwargs.get("torch_dtype"))):
            if dtype is not None and str(dtype).removeprefix("torch.") not in DTYPES:
                raise ValueError(f"{name} must be one of {', '.join(DTYPES)}; got {dtype!r}")
        try:
            if self.id2label is not None and self.label2id is None:
                self.label2id = {label: int(i) for i, label in self.id2label.items()}
            super().__post_init__(**kwargs)
            self.to_json_string(use_diff=False)
        except (AttributeError, TypeError) as error:
            raise ValueError(f"a value in the configuration has the wrong type: {error}") from error

    def __setattr__(self, name, value):
        if name in CHOICES and value not in CHOICES[name]:
            raise ValueError(f"{name} must be one of {', '.join(CHOICES[name])}; got {value!r}")
        if name in BOUNDS:
            low, high = BOUNDS[name]
            if not low <= value <= high:  # also true for NaN
                raise ValueError(f"{name} must be from {low} to {high}; got {value}")
        super().__setattr__(name, value)

    @classmethod
    def from_dict(cls, config_dict, **kwargs):
        if "num_labels" in kwargs or "id2label" in kwargs:  # new labels need new thresholds
            kwargs.setdefault("thresholds", None)
        if kwargs.get("id2label") is not None:
            # As in a config.json, indices may be strings. The base class compares num_labels with the old labels.
            kwargs["id2label"] = {int(i): label for i, label in kwargs["id2label"].items()}
            label2id = {label: i for i, label in kwargs["id2label"].items()}
            given = {label: int(i) for label, i in (kwargs.get("label2id") or label2id).items()}
            if given != label2id:
                raise ValueError(f"label2id must be the inverse of id2label; got {kwargs['label2id']}")
            kwargs["label2id"] = label2id
            if kwargs.get("num_labels") == len(kwargs["id2label"]):
                del kwargs["num_labels"]
        loaded = super().from_dict(config_dict, **kwargs)
        config = loaded[0] if isinstance(loaded, tuple) else loaded
        config.validate()  # kwargs were assigned one by one
        return loaded

    def validate_architecture(self):
        super().validate_architecture()
        if self.stem_kernel_size < self.stem_stride or (self.stem_kernel_size - self.stem_stride) % 2:
            raise ValueError(
                f"stem_kernel_size - stem_stride must be even and not negative, so that the padding is symmetric; "
                f"got {self.stem_kernel_size} and {self.stem_stride}"
            )
        if self.front_end == "mel" and self.stem_kernel_size > self.n_fft:
            raise ValueError(f"a window of {self.stem_kernel_size} samples does not fit in n_fft={self.n_fft}")
        if self.num_strided_convolutions > self.num_blocks + 1:
            raise ValueError(f"num_strided_convolutions must be between 0 and {self.num_blocks + 1}")
        if self.num_strided_convolutions == 0 and self.stem_kernel_size % 2 == 0:
            raise ValueError("num_strided_convolutions=0 needs an odd stem_kernel_size")
        if "se" in self.block_type and self.se_ratio * self.block_channels[-1] > MAX_SQUEEZE:
            raise ValueError(f"se_ratio={self.se_ratio} makes squeezes of more than {MAX_SQUEEZE} units")
        if self.multi_level and self.num_blocks < 3:
            raise ValueError(f"multi_level embeds the last three blocks; num_blocks is {self.num_blocks}")
        if self.segment_length < self.min_samples:
            raise ValueError(
                f"segment_length={self.segment_length} is too short for {self.num_blocks} blocks on a stem stride of "
                f"{self.stem_stride}: at least {self.min_samples} samples"
            )

    def validate_labels(self):
        """Check that `id2label` numbers the outputs."""
        if self.num_labels == 1 and not self.multi_label:
            raise ValueError("a single-label model needs two labels: with one, its probability is always 1")
        if self.id2label is not None and sorted(self.id2label) != list(range(len(self.id2label))):
            raise ValueError(f"id2label must number the labels 0, 1, 2...; got {sorted(self.id2label)[:10]}")

    def validate_thresholds(self):
        """Check the values, but not their number: the labels may still change."""
        for threshold in self.thresholds or ():
            if not 0 <= threshold <= 1:
                raise ValueError(f"thresholds must be probabilities, from 0 to 1; got {threshold}")

    @property
    def labels(self) -> list[str]:
        """Names of the labels, in the order of the outputs."""
        return [self.id2label[i] for i in range(self.num_labels)]

    @property
    def multi_label(self) -> bool:
        """Whether a clip can have several labels (`problem_type`): sigmoid in place of softmax."""
        return self.problem_type == "multi_label_classification"

    @property
    def block_channels(self) -> list[int]:
        """Output channels of each block: doubled at `first_doubling` and at the last (once where they coincide)."""
        first, last = self.first_doubling, self.num_blocks - 1
        return [self.stem_channels * 2 ** ((i >= first) + (i == last != first)) for i in range(self.num_blocks)]

    @property
    def strides(self) -> list[int]:
        """Strides of the front end and of the blocks' convolutions; 1 where max-pooling subsamples in their place."""
        pooled_stem = self.front_end == "waveform" and self.num_strided_convolutions == 0
        strided_blocks = max(0, self.num_strided_convolutions - 1)
        pooled_blocks = self.num_blocks - strided_blocks
        return [1 if pooled_stem else self.stem_stride] + [KERNEL_SIZE] * strided_blocks + [1] * pooled_blocks

    @property
    def min_samples(self) -> int:
        """Minimum length of a waveform in samples, which leaves one frame after the last block."""
        return self.stem_stride * KERNEL_SIZE**self.num_blocks

    @property
    def hidden_size(self) -> int:
        """Size of the clip embedding (`pooler_output`)."""
        return sum(self.block_channels[-3:]) if self.multi_level else self.block_channels[-1]

    @property
    def num_hidden_layers(self) -> int:
        return self.num_blocks


SampleCNNConfig.register_for_auto_class()  # saves the code with models, so that they load without this package
