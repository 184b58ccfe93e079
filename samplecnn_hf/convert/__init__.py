"""
Convert the weights of other SampleCNN implementations to a folder that transformers loads.

    samplecnn convert final.h5 OUTPUT --labels tags.txt

Two kinds of files are supported:

- Keras HDF5 files of the authors' networks: tae-jun/sampleaudio (the 2019 paper), with named layers, and
  tae-jun/resemul (2018) and tae-jun/sample-cnn (2017), with Keras' default names.
- PyTorch state dicts of the plain SampleCNN of 2017, with the layer names of three public implementations
  (`layers.PLAIN_NETWORKS`).

The plain network has a convolution before its output where the later ones have a dense layer. Its input is a single
frame per segment, for which both are equivalent: the conversion is exact.

All layers are first renamed as in tae-jun/sampleaudio, and the architecture is inferred from names and shapes; then
all tensors must match.
"""

import os
from pathlib import Path

import torch
import torch.nn.functional as F
from transformers.utils import logging

from ..audio_samplecnn import check_sampling_rate
from ..configuration_samplecnn import SampleCNNConfig
from ..feature_extraction_samplecnn import SampleCNNFeatureExtractor
from ..files import replace_when_complete
from ..modeling_samplecnn import SampleCNNForAudioClassification
from .architecture import choose_problem_type, make_config, read_architecture, read_batch_norm, read_stem
from .files import ConvertError, Weights, read_weights
from .layers import SAMPLEAUDIO, find_implementation, name_layers

logger = logging.get_logger(__name__)

# Layers of tae-jun/sampleaudio: modules of `SampleCNNForAudioClassification`.
STEM_AND_HEAD = {
    "conv0": "samplecnn.front_end.conv",
    "norm0": "samplecnn.front_end.norm",
    "final_fc": "classifier.dense",
    "final_norm": "classifier.norm",
    "logit": "classifier.out_proj",
}
BLOCK = {
    "conv": "conv",
    "norm": "norm",
    "scut_conv": "shortcut.0",
    "scut_norm": "shortcut.1",
    "conv0": "body.0",
    "norm0": "body.1",
    "conv1": "body.4",
    "norm1": "body.5",
    "ex0": "se.squeeze",
    "ex1": "se.excite",
}

# {(blocks, labels): statistics} of the training sets, with which tae-jun/sampleaudio standardizes the waveform.
STATISTICS = {
    (9, 50): {"mean": -1.650025078561157e-4, "std": 0.1551193743944168},  # MagnaTagATune
    (8, 35): {"mean": -8.520474e-05, "std": 0.18},  # Speech Commands
    (8, 17): {"mean": -3.320679534226656e-4, "std": 0.20514629781246185},  # DCASE 2017, task 4
}


def convert_checkpoint(
    file: str | os.PathLike,
    output: str | os.PathLike,
    labels: list[str],
    problem_type: str | None = None,
    sampling_rate: int | None = None,
) -> Path:
    """
    Convert a weights file to a folder with model.safetensors, config.json, preprocessor_config.json and the code.

    Args:
        file: Keras HDF5 file, PyTorch state dict or safetensors file.
        output: Folder to create.
        labels: Names of the labels, in the order of the outputs.
        problem_type: As in `SampleCNNConfig`. Required unless the file is a full Keras model in HDF5 format
            (`model.save`), where it is inferred from the last activation.
        sampling_rate: Sampling rate of the training audio in Hz; by default that of the implementation: 22,050 Hz, or
            16,000 Hz for sota-music-tagging-models.

    Returns:
        The folder.

    Raises:
        ConvertError: The file is not a supported network, or the labels do not match. The message is one line.
        FileExistsError: The output exists.
        OSError: The output cannot be written. No folder is left behind.
        ImportError: h5py is required and not installed.
    """
    output = Path(output)
    if output.exists():
        raise FileExistsError(f"{output} exists already: give the name of a new folder")
    if sampling_rate is not None:
        try:
            check_sampling_rate(sampling_rate)
        except ValueError as error:
            raise ConvertError(str(error)) from error
    weights = read_weights(Path(file))
    implementation = find_implementation(weights)
    weights = name_layers(weights, implementation)
    check_labels(labels, len(weights.weight("logit", 2)))
    config = make_config(
        **read_architecture(weights),
        **read_stem(weights, implementation.stem_padding),
        **read_batch_norm(weights),
        problem_type=choose_problem_type(problem_type, weights),
        sampling_rate=implementation.sampling_rate if sampling_rate is None else sampling_rate,
        id2label=dict(enumerate(labels)),
    )
    model = build_model(config, weights)
    extractor = SampleCNNFeatureExtractor(
        sampling_rate=config.sampling_rate,
        segment_length=config.segment_length,
        **(_find_statistics(config) if implementation is SAMPLEAUDIO else {}),
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    with replace_when_complete(output) as folder:
        model.save_pretrained(folder)
        extractor.save_pretrained(folder)
    return output


def _find_statistics(config: SampleCNNConfig) -> dict:
    statistics = STATISTICS.get((config.num_blocks, config.num_labels))
    if statistics is None:
        logger.warning(
            "tae-jun/sampleaudio standardizes the waveform with statistics that the file does not contain: set mean "
            "and std in preprocessor_config.json"
        )
    return statistics or {}


def build_model(config: SampleCNNConfig, weights: Weights) -> SampleCNNForAudioClassification:
    """Create the model; raise `ConvertError` for missing, mismatched and unexpected tensors."""
    with torch.device("meta"):
        model = SampleCNNForAudioClassification(config)
    expected = model.state_dict()
    modules = STEM_AND_HEAD | {
        f"block{i}_{layer}": f"samplecnn.blocks.{i}.{module}"
        for i in range(config.num_blocks)
        for layer, module in BLOCK.items()
    }
    layers = {module: layer for layer, module in modules.items()}
    architecture = f"a {config.block_type} network of {config.num_blocks} blocks on {config.stem_channels} channels"
    state = {}
    for name, parameter in expected.items():
        module, _, tensor = name.rpartition(".")
        if tensor == "num_batches_tracked":
            state[name] = torch.zeros((), dtype=parameter.dtype)
            continue
        layer = layers[module]
        found = weights.layers.get(layer, {}).get(tensor)
        if found is None:
            raise ConvertError(f"{weights.tensor_name(layer, tensor)} is missing from {architecture}")
        if layer == "conv0" and tensor == "weight":
            found = F.pad(found, (0, config.stem_kernel_size - found.shape[2]))
        if found.shape != parameter.shape:
            shapes = [list(x.shape[::-1] if weights.keras else x.shape) for x in (found, parameter)]
            raise ConvertError(
                f"{weights.tensor_name(layer, tensor)} has the shape {shapes[0]}; {architecture} needs {shapes[1]}"
            )
        state[name] = found
    for layer, tensors in weights.layers.items():
        for tensor in tensors:
            if f"{modules.get(layer)}.{tensor}" not in expected:
                raise ConvertError(f"{weights.tensor_name(layer, tensor)} is unexpected in {architecture}")
    model.load_state_dict(state, assign=True)
    return model


def read_labels(labels: str) -> list[str]:
    """
    Read labels from a text file with one label per line, or from a comma-separated list.

    Raises:
        ConvertError: The text file does not exist.
    """
    if os.path.isfile(labels):
        text = Path(labels).read_text(encoding="utf-8-sig").strip()
        return [label.strip() for label in text.split("\n")]
    if labels.endswith(".txt"):
        raise ConvertError(f"there is no file {labels}: give a text file with one label per line, or a list as a,b,c")
    return [label.strip() for label in labels.split(",")]


def check_labels(labels: list[str], num_outputs: int):
    if len(labels) != num_outputs:
        raise ConvertError(f"the network has {num_outputs} outputs, but {len(labels)} labels were given")
    for i, label in enumerate(labels):
        if not label:
            raise ConvertError(f"label {i + 1} is empty")
        if label in labels[:i]:
            raise ConvertError(f"the label {label!r} is given twice")
