"""
A state of a training run on disk: tensors as safetensors, everything else as JSON, nothing as pickle.

    tensors.safetensors  state.json     what `write` was given
    SHA256SUMS                          of these files, as `sha256sum --check` reads it
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

TENSORS, STATE, SUMS = "tensors.safetensors", "state.json", "SHA256SUMS"


def write(folder: Path, tensors: dict[str, torch.Tensor], state: dict):
    """Make `folder`. Raises `OSError` or `SafetensorError` where it cannot be written."""
    folder.mkdir()
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, folder / TENSORS)
    (folder / STATE).write_text(json.dumps(state), encoding="utf-8")
    (folder / SUMS).write_text(_sums(folder), encoding="utf-8")


def read(folder: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """The tensors and the state that `write` was given. Raises `RecipeError` for anything else."""
    with errors_of(folder):
        if (folder / SUMS).read_text(encoding="utf-8") != _sums(folder):
            raise ValueError(f"{SUMS} does not match")
        return load_file(folder / TENSORS), json.loads((folder / STATE).read_text(encoding="utf-8"))


@contextmanager
def errors_of(folder: Path) -> Iterator[None]:
    """Raise a `RecipeError` where what was read from `folder` does not fit."""
    try:
        yield
    except (AttributeError, LookupError, OSError, RuntimeError, SafetensorError, TypeError, ValueError) as error:
        if isinstance(error, RecipeError):
            raise
        raise RecipeError(f"{folder} is damaged ({error}): start anew with --overwrite") from error


def of(owner: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Those whose names begin with `owner.`, without it."""
    prefix = f"{owner}."
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _sums(folder: Path) -> str:
    lines = []
    for name in (TENSORS, STATE):
        with (folder / name).open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")
    return "".join(lines)


def load_module(module: torch.nn.Module, tensors: dict[str, torch.Tensor]):
    """Raises `ValueError` where `tensors` are not those of the module's state."""
    expected = {name: (tensor.shape, tensor.dtype) for name, tensor in module.state_dict().items()}
    if {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()} != expected:
        raise ValueError("other weights than this network has")
    module.load_state_dict(tensors)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """What the optimizer remembers of each parameter; its options are the recipe's."""
    states = optimizer.state_dict()["state"]
    return {f"{index}.{name}": tensor for index, state in states.items() for name, tensor in state.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor], names: set[str]):
    """Raises `ValueError` where `tensors` are neither none nor all of `names` of each parameter."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    expected = {f"{index}.{name}" for index in range(len(parameters)) for name in names}
    if tensors.keys() not in (set(), expected):
        raise ValueError("another state than this optimizer has")
    states = {}
    for name, tensor in tensors.items():
        index, _, name = name.partition(".")
        if tensor.shape not in ((), parameters[int(index)].shape):
            raise ValueError("the state of an optimizer of other weights")
        states.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})


def random_state(device: torch.device) -> dict:
    """Of all generators of this process."""
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
    """What `random_state` returned."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    np.random.set_state(state["numpy"])
    states = {
        name: torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8) for name, text in state["torch"].items()
    }
    torch.set_rng_state(states["cpu"])
    if device.type != "cpu":
        torch.get_device_module(device).set_rng_state(states[device.type])
