import torch

from samplecnn_hf import create_config
from training.loop.complexity import giga_macs, segments_per_second


def test_multiply_accumulates_grow_with_the_network():
    assert (
        0
        < giga_macs(create_config("test-se"))
        < giga_macs(create_config("basic-8"))
        < giga_macs(create_config("basic-9"))
    )


def test_speed_leaves_the_model_as_it_is(make_model):
    model = make_model("test-se")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert segments_per_second(model, num_segments=2) > 0
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
