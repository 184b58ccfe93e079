"""Rename the layers of a file to the names of tae-jun/sampleaudio."""

import itertools
import re
from dataclasses import dataclass, replace

from .files import ConvertError, Weights


@dataclass(frozen=True)
class Implementation:
    """
    An implementation of SampleCNN that writes supported files.

    Args:
        patterns: Patterns of the names of convolutions, batch norms and dense layers; the group is the index of the
            layer. None for the names of tae-jun/sampleaudio.
        sampling_rate: Sampling rate of the training audio in Hz.
        stem_padding: Samples of padding before the first frame.
    """

    patterns: tuple[str, str, str] | None
    sampling_rate: int = 22050
    stem_padding: int = 0


SAMPLEAUDIO = Implementation(None)
KERAS_DEFAULT_NAMES = Implementation(
    (r"conv1d(?:_(\d+))?", r"batch_normalization(?:_v\d+)?(?:_(\d+))?", r"dense(?:_(\d+))?")
)
PLAIN_NETWORKS = {
    "kyungyunlee/sampleCNN-pytorch": Implementation((r"conv(\d+)\.0", r"conv(\d+)\.1", r"fc()")),
    "Spijkervet/CLMR": Implementation((r"sequential\.(\d+)\.0", r"sequential\.(\d+)\.1", r"fc()")),
    "minzwon/sota-music-tagging-models": Implementation(
        (r"layer(\d+)\.conv", r"layer(\d+)\.bn", r"dense()"), sampling_rate=16000, stem_padding=1
    ),
}


def find_implementation(weights: Weights) -> Implementation:
    """Find the implementation by the names of the layers; raise `ConvertError` for unknown names."""

    def has_layer(pattern: str) -> bool:
        return any(re.fullmatch(pattern, layer) for layer in weights.layers)

    if weights.keras and has_layer("conv0|norm0|logit|final_.*|block.*"):
        return SAMPLEAUDIO
    for implementation in [KERAS_DEFAULT_NAMES] if weights.keras else PLAIN_NETWORKS.values():
        if has_layer(implementation.patterns[0]):
            return implementation
    if has_layer(r"layer\d+\.conv_1"):
        raise ConvertError(
            "SampleCNNSE of minzwon/sota-music-tagging-models cannot be converted: its stem is a residual block, and "
            "its shortcuts have a kernel of 3; no network of the paper has that"
        )
    known = "the authors' HDF5 files" if weights.keras else f"the PyTorch files of {', '.join(PLAIN_NETWORKS)}"
    raise ConvertError(f"the layers ({', '.join([*weights.layers][:3])}, ...) do not have the names of {known}")


def name_layers(weights: Weights, implementation: Implementation) -> Weights:
    """Rename the layers as in tae-jun/sampleaudio; the last convolution of a plain network becomes a dense layer."""
    if implementation.patterns is None:
        return weights
    kinds = ("convolutions", "batch norms", "dense layers")
    found = {kind: _in_order(weights, pattern) for kind, pattern in zip(kinds, implementation.patterns, strict=True)}
    if not found["dense layers"]:
        raise ConvertError("the file has no output layer: only complete classifiers can be converted")
    kernel_sizes = [weights.weight(layer, 3).shape[2] for layer in found["convolutions"]]
    names = {}
    for (kind, theirs), authors in zip(
        found.items(), _authors_names(kernel_sizes, len(found["dense layers"])), strict=True
    ):
        if len(theirs) != len(authors):
            raise ConvertError(
                f"a SampleCNN of {len(kernel_sizes)} convolutions must have {len(authors)} {kind}; the file has "
                f"{len(theirs)}"
            )
        names |= dict(zip(authors, theirs, strict=True))
    if unexpected := sorted(weights.layers.keys() - names.values()):
        raise ConvertError(f"the layer {unexpected[0]} in the file is unexpected")

    layers = {name: weights.layers[theirs] for name, theirs in names.items()}
    if names["final_fc"] == found["convolutions"][-1]:
        if kernel_sizes[-1] not in (1, 3):
            raise ConvertError(f"{names['final_fc']} must have a kernel of 1 or 3; it has {kernel_sizes[-1]}")
        middle = layers["final_fc"]["weight"][:, :, kernel_sizes[-1] // 2]  # the rest is multiplied by padding
        layers["final_fc"] = layers["final_fc"] | {"weight": middle}
    return replace(weights, layers=layers, names=names)


def _in_order(weights: Weights, pattern: str) -> list[str]:
    matches = [match for layer in weights.layers if (match := re.fullmatch(pattern, layer))]
    layers = {int(match[1] or 0): match[0] for match in matches}
    for before, after in itertools.pairwise(sorted(layers)):
        if after != before + 1:
            raise ConvertError(f"a layer between {layers[before]} and {layers[after]} is missing")
    return [layers[number] for number in sorted(layers)]


def _authors_names(kernel_sizes: list[int], num_denses: int) -> tuple[list[str], list[str], list[str]]:
    """
    Names of convolutions, batch norms and dense layers in tae-jun/sampleaudio, in the order of their creation.

    A shortcut has a kernel of 1 and is created before the convolutions of its block; the last block always has one. A
    plain network has one dense layer, and a convolution instead of the other.
    """
    body = kernel_sizes[1 : -1 if num_denses == 1 else None]
    shortcuts = [i for i, size in enumerate(body) if size == 1]
    each = len(body) - 1 - shortcuts[-1] if shortcuts else 1
    convolutions, block, position = ["conv0"], 0, 0
    for size in body:
        if size == 1:
            convolutions.append(f"block{block}_scut_conv")
            continue
        convolutions.append(f"block{block}_conv{position if shortcuts else ''}")
        position += 1
        if position == each:
            block, position = block + 1, 0
    norms = [name.replace("conv", "norm") for name in convolutions] + ["final_norm"]
    if num_denses == 1:
        return [*convolutions, "final_fc"], norms, ["logit"]
    excitations = [f"block{i}_ex{j}" for i in range(block) for j in (0, 1)] if num_denses > 2 else []
    return convolutions, norms, [*excitations, "final_fc", "logit"]
