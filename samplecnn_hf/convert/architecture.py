"""Infer the configuration from layers with the names of tae-jun/sampleaudio."""

import re

from huggingface_hub.errors import StrictDataclassError

from ..configuration_samplecnn import KERNEL_SIZE, SampleCNNConfig
from ..variants import FAMILIES
from .files import ConvertError, Weights

MAX_BLOCKS = 12  # 3^13 samples are longer than a minute

ACTIVATIONS = {"sigmoid": "multi_label_classification", "softmax": "single_label_classification"}


def read_architecture(weights: Weights) -> dict:
    """Infer fields of `SampleCNNConfig` from names and shapes."""
    members = [match for layer in weights.layers if (match := re.fullmatch(r"block(\d{1,3})_(\w+)", layer))]
    num_blocks = 1 + max((int(match[1]) for match in members), default=-1)
    if not 1 <= num_blocks <= MAX_BLOCKS:
        raise ConvertError(f"the network must have between 1 and {MAX_BLOCKS} blocks; it has {num_blocks}")
    kinds = {match[2] for match in members}
    block_type = "basic"
    if "conv0" in kinds:
        block_type = "res2" if "conv1" in kinds else "res1"
    convolution = "conv" if block_type == "basic" else "conv0"
    widths = [len(weights.weight(f"block{i}_{convolution}", 3)) for i in range(num_blocks)]
    fields = {
        "num_blocks": num_blocks,
        "stem_channels": len(weights.weight("conv0", 3)),
        "multi_level": num_blocks >= 3 and weights.weight("final_fc", 2).shape[1] == sum(widths[-3:]),
    }
    if "ex0" in kinds:
        fields["se_ratio"] = _find_se_ratio(weights)
        block_type = "se" if block_type == "basic" else block_type.replace("res", "rese")
    return fields | {"block_type": block_type}


def _find_se_ratio(weights: Weights) -> float:
    """Find a ratio that rounds to the width of every squeeze."""
    shapes = [weights.weight(layer, 2).shape for layer in weights.layers if layer.endswith("_ex0")]
    lowest = max((width - 0.5) / channels for width, channels in shapes)
    highest = min((width + 0.5) / channels for width, channels in shapes)
    if lowest > highest:
        listed = ", ".join(f"{width} of {channels}" for width, channels in shapes)
        raise ConvertError(f"the widths of the squeezes ({listed}) are not a constant ratio of the channels")
    return (lowest + highest) / 2


def read_stem(weights: Weights, padding: int) -> dict:
    """Infer filter and stride of the stem. Only full models of Keras contain the stride; the authors' is 3."""
    kernel_size = weights.weight("conv0", 3).shape[2]
    if weights.settings:
        return {"stem_kernel_size": kernel_size, **_read_subsampling(weights, kernel_size)}
    if kernel_size != KERNEL_SIZE:
        raise ConvertError(
            f"the stem has a kernel of {kernel_size}, and weights alone do not contain its stride: give an HDF5 file "
            "of the full model (model.save)"
        )
    # A filter that starts in the padding equals a longer one with zeros at the end, added by `build_model`.
    return {"stem_kernel_size": kernel_size + 2 * padding, "stem_stride": KERNEL_SIZE}


def _read_subsampling(weights: Weights, kernel_size: int) -> dict:
    """Check that all layers after the stem subsample as in the authors' networks."""
    num_blocks = len({layer.partition("_")[0] for layer in weights.layers if layer.startswith("block")})
    pools = [layer for layer in weights.settings if layer["class_name"] == "MaxPooling1D"]
    convolutions = [layer for layer in weights.settings if layer["class_name"] == "Conv1D"]
    if not convolutions:
        raise ConvertError("model_config in the file has no Conv1D layer")
    stem, *convolutions = convolutions
    for pool in pools:
        _check_settings(pool, pool_size=KERNEL_SIZE, strides=KERNEL_SIZE, padding="valid")
    for convolution in convolutions:
        _check_settings(convolution, strides=1, dilation_rate=1, padding="same")
    stride = stem.get("strides")
    _check_settings(stem, dilation_rate=1)
    if stride != kernel_size:
        _check_settings(stem, padding="same")
    if len(pools) != num_blocks + (stride == 1):
        raise ConvertError(
            f"the network has {len(pools)} max-poolings for a stem of stride {stride} and {num_blocks} blocks"
        )
    return {"stem_stride": KERNEL_SIZE, "num_strided_convolutions": 0} if stride == 1 else {"stem_stride": stride}


def _check_settings(layer: dict, **expected):
    for setting, value in expected.items():
        found = layer.get(setting)
        if found != value:
            raise ConvertError(f"{layer.get('name')} in the file has {setting}={found!r}; a SampleCNN has {value!r}")


def read_batch_norm(weights: Weights) -> dict:
    """Infer the parameters of batch norms: those of a full model of Keras, or the defaults of the library."""
    if not weights.keras:
        return {"batch_norm_eps": 1e-5, "batch_norm_momentum": 0.1}
    norms = [layer for layer in weights.settings if layer["class_name"].startswith("BatchNormalization")]
    epsilon = norms[0].get("epsilon") if norms else 1e-3
    for norm in norms:
        _check_settings(norm, epsilon=epsilon)
    return {"batch_norm_eps": epsilon, "batch_norm_momentum": 0.01}


def choose_problem_type(given: str | None, weights: Weights) -> str:
    """Return the given problem type, or that of the last activation; raise `ConvertError` if they contradict."""
    activation = weights.settings[-1].get("activation") if weights.settings else None
    found = ACTIVATIONS.get(activation)
    if given is None and found is None:
        raise ConvertError(
            "the file does not contain the problem type: give --problem_type "
            "single_label_classification (softmax) or multi_label_classification (sigmoid)"
        )
    if given is not None and found is not None and given != found:
        raise ConvertError(f"the network in the file ends with {activation}: its problem type is {found}")
    return given or found


def make_config(num_blocks: int, stem_stride: int, **fields) -> SampleCNNConfig:
    """Create the configuration, with the segment length of the paper (Table I) or else the minimum."""
    segment_length = stem_stride * KERNEL_SIZE**num_blocks
    if stem_stride == KERNEL_SIZE and num_blocks in FAMILIES:
        segment_length = FAMILIES[num_blocks]["segment_length"]
    try:
        return SampleCNNConfig(num_blocks=num_blocks, stem_stride=stem_stride, segment_length=segment_length, **fields)
    except StrictDataclassError as error:
        raise ConvertError(f"the network in the file is not a SampleCNN: {error.__cause__ or error}") from error
