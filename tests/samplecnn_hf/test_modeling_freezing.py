import pytest
import torch

BLOCK_TYPES = ["basic", "se", "res1", "res2", "rese1", "rese2"]


def train_a_step(model):
    model.train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    generator = torch.Generator().manual_seed(0)
    clips = torch.randn(4, 2, model.config.segment_length, generator=generator)
    model(clips, labels=torch.tensor([0, 1, 2, 0])).loss.backward()
    optimizer.step()


@pytest.mark.parametrize("block_type", BLOCK_TYPES)
@pytest.mark.parametrize("num_layers", [0, 1, 3, 6])
def test_frozen_layers_keep_weights_and_statistics(make_model, block_type, num_layers):
    model = make_model(f"test-{block_type}", num_labels=3, block_dropout=0.0)
    model.samplecnn.freeze_layers(num_layers)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    train_a_step(model)
    frozen = ["samplecnn.front_end.", *(f"samplecnn.blocks.{i}." for i in range(5))][:num_layers]
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert not [name for name in changed if name.startswith(tuple(frozen))]
    statistics = {name for name in before if name.endswith("running_mean")}
    assert {name for name in statistics if not name.startswith(tuple(frozen))} <= changed
    assert any(name.startswith("classifier.") for name in changed)


def test_frozen_layers_can_be_trained_again(make_model):
    model = make_model("test-se", num_labels=3)
    model.samplecnn.freeze_layers(4)
    model.samplecnn.freeze_layers(0)
    assert all(parameter.requires_grad for parameter in model.parameters())
    before = model.samplecnn.front_end.norm.running_mean.clone()
    train_a_step(model)
    assert not torch.equal(model.samplecnn.front_end.norm.running_mean, before)


def test_evaluation_is_the_same(make_model):
    model = make_model("test-rese2", num_labels=3).eval()
    clips = torch.randn(2, 2, model.config.segment_length)
    before = model(clips).logits
    model.samplecnn.freeze_layers(3)
    assert not model.samplecnn.training
    torch.testing.assert_close(model(clips).logits, before, rtol=0, atol=0)


@pytest.mark.parametrize("num_layers", [-1, 7])
def test_layers_that_are_not_there(make_model, num_layers):
    with pytest.raises(ValueError, match="num_layers must be between 0 and 6"):
        make_model("test-se").samplecnn.freeze_layers(num_layers)
