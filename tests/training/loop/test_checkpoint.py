import copy
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from training.errors import RecipeError
from training.loop import checkpoint

CPU = torch.device("cpu")


@pytest.fixture
def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))


def trained(network: torch.nn.Module, name: str) -> torch.optim.Optimizer:
    kinds = {"adamw": (torch.optim.AdamW, {}), "sgd": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True})}
    kind, options = kinds[name]
    groups = [{"params": [network[0].weight]}, {"params": [p for p in network.parameters()][1:]}]
    optimizer = kind(groups, lr=0.1, fused=True, **options)
    take_steps(network, optimizer, 3)
    return optimizer


def take_steps(network: torch.nn.Module, optimizer: torch.optim.Optimizer, count: int):
    for _ in range(count):
        network(torch.randn(5, 3)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_training_goes_on_as_if_nothing_had_happened(network, tmp_path, name):
    optimizer = trained(network, name)
    before = copy.deepcopy(network.state_dict())
    tensors = {f"model.{key}": tensor for key, tensor in before.items()}
    tensors |= {f"optimizer.{key}": tensor for key, tensor in checkpoint.optimizer_tensors(optimizer).items()}
    checkpoint.write(tmp_path / "checkpoint", tensors, {"random": checkpoint.random_state(CPU)})
    take_steps(network, optimizer, 2)
    expected, drawn = copy.deepcopy(network.state_dict()), (random.random(), np.random.rand(), random.gauss(0, 1))

    other = copy.deepcopy(network)
    optimizer = trained(other, name)
    np.random.rand(), random.gauss(0, 1)
    tensors, state = checkpoint.read(tmp_path / "checkpoint")
    checkpoint.load_module(other, checkpoint.tensors_of("model", tensors))
    checkpoint.load_optimizer(optimizer, checkpoint.tensors_of("optimizer", tensors))
    checkpoint.load_random_state(state["random"], CPU)
    take_steps(other, optimizer, 2)
    assert all(torch.equal(expected[key], tensor) for key, tensor in other.state_dict().items())
    assert (random.random(), np.random.rand(), random.gauss(0, 1)) == drawn
    assert {path.name for path in (tmp_path / "checkpoint").iterdir()} == {
        "tensors.safetensors",
        "state.json",
        "SHA256SUMS",
    }


def test_scale_of_gradients_is_json():
    scaler = torch.amp.GradScaler("cpu", init_scale=512.0)
    other = torch.amp.GradScaler("cpu")
    other.load_state_dict(json.loads(json.dumps(scaler.state_dict())))
    assert other.state_dict() == scaler.state_dict() and other.get_scale() == 512


def cut(path: Path):
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def swap(path: Path):
    """Whole and well-formed, but something else."""
    if path.suffix == ".safetensors":
        save_file({"model.a": torch.zeros(1)}, path)
    else:
        path.write_text("{}")


def be_a_folder(path: Path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoil", [cut, flip, swap, be_a_folder, Path.unlink, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "SHA256SUMS"])
def test_damage_is_one_line(tmp_path, name, spoil):
    folder = tmp_path / "checkpoint"
    checkpoint.write(folder, {"model.a": torch.ones(9)}, {"history": []})
    spoil(folder / name)
    with pytest.raises(RecipeError, match=f"{folder} is damaged .*: start again with --overwrite"):
        checkpoint.read(folder)


def test_random_states_that_are_none():
    good = json.loads(json.dumps(checkpoint.random_state(CPU)))
    checkpoint.load_random_state(good, CPU)
    drawn = torch.rand(1)
    bad = [None, [], {}, {**good, "python": [3, [1], None]}, {**good, "numpy": ["MT19937", [1], 0, 0, 0]}]
    bad += [{**good, "torch": {"cpu": "zz"}}, {**good, "torch": {"cpu": "00"}}, {**good, "torch": {}}]
    for state in bad:
        with pytest.raises(RecipeError, match="is damaged"), checkpoint.one_line_errors(Path("x")):
            checkpoint.load_random_state(state, CPU)
    checkpoint.load_random_state(good, CPU)
    assert torch.equal(torch.rand(1), drawn)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_state_of_another_network(network, name):
    optimizer = trained(network, name)
    good = checkpoint.optimizer_tensors(optimizer)
    first, *_ = good
    bad = [
        {key: tensor for key, tensor in good.items() if key != first},
        {**good, "99.momentum_buffer": torch.zeros(1)},
        {**good, "x.y.z": torch.zeros(1)},
        {**good, first: torch.zeros(7, 7)},
        {"": torch.zeros(1)},
    ]
    for tensors in bad:
        with pytest.raises(ValueError):
            checkpoint.load_optimizer(optimizer, tensors)
    weights = network.state_dict()
    for tensors in ({}, {**weights, "more": torch.zeros(1)}, {**weights, "0.weight": torch.zeros(4, 3).half()}):
        with pytest.raises(ValueError):
            checkpoint.load_module(network, tensors)
