"""
Checkpoints: tensors as safetensors, everything else as JSON, nothing as pickle.

    tensors.safetensors, state.json     the arguments of `write`
    SHA256SUMS                          checksums of these files, for `sha256sum --check`
"""

import hashlib
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from training.errors import RecipeError

# State per parameter.
OPTIMIZER_STATE = {"AdamW": {"step", "exp_avg", "exp_avg_sq"}, "SGD": {"momentum_buffer"}}
TENSORS, STATE, SUMS = "tensors.safetensors", "state.json", "SHA256SUMS"


def write(folder: Path, tensors: dict[str, torch.Tensor], state: dict):
    """Create the checkpoint `folder`. Raises `OSError` or `SafetensorError` if it cannot be written."""
    folder.mkdir()
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, folder / TENSORS)
    (folder / STATE).write_text(json.dumps(state), encoding="utf-8")
    (folder / SUMS).write_text(_sums(folder), encoding="utf-8")


def read(folder: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """The tensors and the state of a checkpoint. Raises `RecipeError` if it is damaged."""
    with one_line_errors(folder):
        if (folder / SUMS).read_text(encoding="utf-8") != _sums(folder):
            raise ValueError(f"{SUMS} does not match")
        return load_file(folder / TENSORS), json.loads((folder / STATE).read_text(encoding="utf-8"))


@contextmanager
def one_line_errors(folder: Path) -> Iterator[None]:
    """Raise `RecipeError` if what was read from `folder` is missing, damaged or of another run."""
    try:
        yield
    except (AttributeError, LookupError, OSError, RuntimeError, SafetensorError, TypeError, ValueError) as error:
        if isinstance(error, RecipeError):
            raise
        raise RecipeError(f"{folder} is damaged ({error}): start again with --overwrite") from error


def tensors_of(part: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors named `part.NAME`, as `NAME`."""
    prefix = f"{part}."
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _sums(folder: Path) -> str:
    lines = []
    for name in (TENSORS, STATE):
        with (folder / name).open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")
    return "".join(lines)


def load_module(module: torch.nn.Module, tensors: dict[str, torch.Tensor]):
    """Load weights. Raises `ValueError` unless names, shapes and dtypes are those of the module."""
    expected = {name: (tensor.shape, tensor.dtype) for name, tensor in module.state_dict().items()}
    if {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()} != expected:
        raise ValueError("its weights do not match the network")
    module.load_state_dict(tensors)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The state of the optimizer per parameter, as `INDEX.NAME`. Its options are in the recipe."""
    states = optimizer.state_dict()["state"]
    return {f"{index}.{name}": tensor for index, state in states.items() for name, tensor in state.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]):
    """Load `optimizer_tensors`. Raises `ValueError` unless they are complete, or none, and of the right shapes."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    names = OPTIMIZER_STATE[type(optimizer).__name__]
    if tensors.keys() not in (set(), {f"{index}.{name}" for index in range(len(parameters)) for name in names}):
        raise ValueError("its optimizer state does not match the optimizer")
    states = {}
    for key, tensor in tensors.items():
        index, name = key.split(".")
        if tensor.shape not in ((), parameters[int(index)].shape):
            raise ValueError("its optimizer state does not match the weights")
        states.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})


def random_state(device: torch.device) -> dict:
    """State of all random number generators of this process, for JSON."""
    kind, words, *rest = np.random.get_state()
    torch_states = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        torch_states[device.type] = torch.get_device_module(device).get_rng_state()
    return {
        "python": random.getstate(),
        "numpy": [kind, words.tolist(), *rest],
        "torch": {name: state.numpy().tobytes().hex() for name, state in torch_states.items()},
    }


def load_random_state(state: dict, device: torch.device):
    """Restore the result of `random_state`."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    np.random.set_state(state["numpy"])
    states = {
        name: torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8) for name, text in state["torch"].items()
    }
    torch.set_rng_state(states["cpu"])
    if device.type != "cpu":
        torch.get_device_module(device).set_rng_state(states[device.type])
