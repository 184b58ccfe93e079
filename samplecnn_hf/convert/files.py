"""
Read weights saved by Keras and PyTorch without running code from the file: HDF5 with h5py, PyTorch's format with
`weights_only`, and safetensors. Sizes are checked before the data is read.
"""

import json
import math
import pickle
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

MAX_VALUES = 2**27  # in all tensors: 512 MiB, several times the largest network of the paper
MAX_FILE_BYTES = 16 * MAX_VALUES  # with the optimizer's state
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"

# {name of a tensor in Keras: in PyTorch}
TENSORS = {"kernel": "weight", "bias": "bias"}
NORM_TENSORS = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}

# Prefixes of wrapped models in the names of a state dict.
WRAPPERS = ("module.", "model.", "encoder.")

# Raised by torch.load for damaged files, other formats, and objects other than tensors.
UNPICKLING_ERRORS = (
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


class ConvertError(ValueError):
    """A file cannot be converted; the message is one line."""


@dataclass
class Weights:
    """
    The layers of a network.

    Args:
        layers: Tensors by layer and name, with the names and layouts of PyTorch's modules.
        keras: Whether the file was written by Keras.
        settings: Keras' configuration of the layers, {"class_name": ..., "name": ..., "strides": ...}, from the input
            to the output. Empty if the file contains only weights.
        names: Names in the file of layers that were renamed.
    """

    layers: dict[str, dict[str, torch.Tensor]]
    keras: bool
    settings: list[dict] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def tensor_name(self, layer: str, tensor: str) -> str:
        """Name that a tensor has, or would have, in the file."""
        name = self.names.get(layer, layer)
        if not self.keras:
            return f"{name}.{tensor}"
        known = NORM_TENSORS if "norm" in name else TENSORS
        return f"{name}/{next((theirs for theirs, ours in known.items() if ours == tensor), tensor)}"

    def weight(self, layer: str, dimensions: int) -> torch.Tensor:
        """The weight of a layer; raise `ConvertError` if it is missing or has another number of dimensions."""
        weight = self.layers.get(layer, {}).get("weight")
        if weight is None:
            raise ConvertError(f"{self.tensor_name(layer, 'weight')} is missing")
        if weight.dim() != dimensions:
            raise ConvertError(
                f"{self.tensor_name(layer, 'weight')} must have {dimensions} dimensions; it has {weight.dim()}"
            )
        return weight


def read_weights(path: Path) -> Weights:
    """
    Read a Keras HDF5 file, a PyTorch state dict or a safetensors file.

    Raises:
        ConvertError: The file has another format, is damaged, too large, or could run code.
        ImportError: It is an HDF5 file, and h5py is not installed.
    """
    if not path.is_file():
        raise ConvertError(f"there is no file {path}")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ConvertError(f"{path} is larger than {MAX_FILE_BYTES:,} bytes, and so not a SampleCNN")
    with path.open("rb") as file:
        is_hdf5 = file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE
    weights = _read_keras(path) if is_hdf5 else _read_pytorch(path)
    for layer, tensors in weights.layers.items():
        for name, tensor in tensors.items():
            if tensor.numel() == 0 or not torch.isfinite(tensor).all():
                raise ConvertError(f"{path} is damaged: {weights.tensor_name(layer, name)} is empty, or not finite")
    return weights


# HDF5


def _read_keras(path: Path) -> Weights:
    try:
        import h5py
    except ImportError as error:
        raise ImportError("reading HDF5 files needs h5py: pip install 'samplecnn-hf[convert]'") from error
    try:
        with h5py.File(path, "r") as file:
            members = list(file)  # names only
            if "layers" in members and "model_weights" not in members:
                raise ConvertError(
                    f"{path} is a weights file of Keras 3, which does not contain the names of the layers: load it in "
                    "Keras and save the full model with model.save('model.h5')"
                )
            is_full_model = "model_weights" in members
            datasets = _find_tensors(_open(file, "model_weights") if is_full_model else file)
            _check_total(dataset.size for tensors in datasets.values() for dataset in tensors.values())
            layers = {
                layer: {name: _to_pytorch(dataset[()]) for name, dataset in tensors.items()}
                for layer, tensors in datasets.items()
            }
            return Weights(layers, keras=True, settings=_read_settings(file) if is_full_model else [])
    except ConvertError:
        raise
    except (AttributeError, KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise ConvertError(f"{path} is damaged, or not an HDF5 file of Keras: {error}") from error


def _find_tensors(root) -> dict[str, dict]:
    """
    Find the datasets of each layer, by PyTorch's names of tensors.

    A path contains scopes of TensorFlow: conv0/conv0_2/kernel:0 is the kernel of conv0 in the third model of a
    session.
    """
    found = {}
    for (layer, *_, name), dataset in _walk(root):
        name = name.split(":")[0]
        name = (TENSORS | NORM_TENSORS).get(name, name)
        if name in found.setdefault(layer, {}):
            raise ConvertError(f"{layer} in the HDF5 file is a nested model: save it separately")
        found[layer][name] = _check_dataset(dataset)
    return found


def _walk(root) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yield the datasets in an HDF5 group with their paths. Links to other files and cycles are rejected."""
    import h5py

    seen, groups = set(), [((), root)]
    while groups:
        path, group = groups.pop()
        for name in group:
            child = _open(group, name)
            address = h5py.h5o.get_info(child.id).addr
            if address in seen:
                raise ConvertError(f"{child.name} in the HDF5 file has two names: save the model again")
            seen.add(address)
            if isinstance(child, h5py.Group):
                groups.append(((*path, name), child))
            elif path:
                yield (*path, name), child


def _open(group, name: str):
    import h5py

    if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
        raise ConvertError(f"{group.name}/{name} in the HDF5 file is a link: save the model again")
    return group[name]


def _check_dataset(dataset):
    if dataset.is_virtual or dataset.external:
        raise ConvertError(f"{dataset.name} in the HDF5 file refers to another file: save the model again")
    if dataset.dtype.kind != "f":
        raise ConvertError(f"{dataset.name} in the HDF5 file must hold floating-point numbers; it has {dataset.dtype}")
    _check_total([math.prod(dataset.chunks or ())])  # a chunk is read at once
    return dataset


def _to_pytorch(values: np.ndarray) -> torch.Tensor:
    """[kernel, in, out] -> [out, in, kernel], and [in, out] -> [out, in]."""
    return torch.from_numpy(np.ascontiguousarray(values.T, dtype=np.float32))


def _read_settings(file) -> list[dict]:
    if "model_config" not in file.attrs:
        return []
    if file.attrs.get_id("model_config").shape != ():
        raise ConvertError("model_config in the HDF5 file must be a single string")
    layers = json.loads(file.attrs["model_config"])["config"]
    layers = layers if isinstance(layers, list) else layers["layers"]  # a list for a Sequential of old versions
    return [{"class_name": str(layer["class_name"])} | _scalars(layer["config"]) for layer in layers]


def _scalars(settings: dict) -> dict:
    """Convert lists of one number, as strides and sizes can be in one dimension, to numbers."""
    found = {}
    for name, value in settings.items():
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, (int, float, str)):
            found[name] = value
    return found


# PyTorch


def _read_pytorch(path: Path) -> Weights:
    try:
        state = load_file(path) if path.suffix == ".safetensors" else _load_pickle(path)
    except ConvertError:
        raise
    except (*UNPICKLING_ERRORS, SafetensorError) as error:
        raise ConvertError(
            f"{path} is not an HDF5 file, a safetensors file or a PyTorch file of tensors alone: save "
            "model.state_dict() with torch.save"
        ) from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):  # a checkpoint of training
        state = state["state_dict"]
    if not isinstance(state, dict) or not state or not all(map(_is_plain, state.keys(), state.values())):
        raise ConvertError(f"{path} is not a state dict, names with tensors: save model.state_dict() with torch.save")
    _check_total(tensor.numel() for tensor in state.values())
    while prefix := next((prefix for prefix in WRAPPERS if all(name.startswith(prefix) for name in state)), None):
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    layers = {}
    for name, tensor in state.items():
        layer, _, tensor_name = name.rpartition(".")
        if tensor_name != "num_batches_tracked":
            layers.setdefault(layer, {})[tensor_name] = tensor.detach().to(torch.float32)
    return Weights(layers, keras=False)


def _load_pickle(path: Path):
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_FILE_BYTES:
                raise ConvertError(f"{path} unpacks to more than {MAX_FILE_BYTES:,} bytes: no SampleCNN does")
    return torch.load(path, map_location="cpu", weights_only=True)


def _is_plain(name, tensor) -> bool:
    is_plain = isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided and tensor.device.type == "cpu"
    return isinstance(name, str) and is_plain and not tensor.is_complex() and not tensor.is_quantized


def _check_total(sizes):
    if sum(sizes) > MAX_VALUES:
        raise ConvertError(f"the file has more than {MAX_VALUES:,} values, and so is not a SampleCNN")
