"""LoRA adapters of peft, on the convolutions, the stem and the dense layers."""

import pytest
import torch
from torch import nn

from samplecnn_hf import SampleCNNForAudioClassification

peft = pytest.importorskip("peft")

NETWORKS = {
    "basic": ("test-basic", {}),
    "rese2-multi": ("test-rese2", {"multi_level": True}),
    "one-channel": ("test-se", {"stem_channels": 1}),
    "strided6": ("test-res1", {"num_strided_convolutions": 6}),
    "stem27x9": ("test-se", {"stem_kernel_size": 27, "stem_stride": 9, "num_blocks": 4}),
}
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


@pytest.fixture(params=NETWORKS)
def model(make_model, request):
    variant, overrides = NETWORKS[request.param]
    return make_model(variant, num_labels=4, **overrides)


def names_of(model, *kinds):
    return [name for name, module in model.named_modules() if isinstance(module, kinds)]


def noise(*shape, seed=0):
    return 0.5 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("rank", [1, 3])
def test_each_adapter_takes_effect_and_merges(model, rank):
    torch.manual_seed(0)
    clips, mask = noise(2, 3, 1458), torch.tensor([[1, 1, 1], [1, 0, 0]])
    layers = names_of(model, nn.Conv1d, nn.Linear)
    config = peft.LoraConfig(r=rank, target_modules=layers, init_lora_weights=False)
    adapted = peft.get_peft_model(model, config).eval()
    outputs = adapted(clips, attention_mask=mask).logits
    outputs.square().sum().backward()
    weights = {name: parameter for name, parameter in adapted.named_parameters() if "lora_" in name}
    assert len(weights) == 2 * len(layers)
    without = {name for name, weight in weights.items() if weight.grad.abs().max() == 0}
    assert not {name for name in without if ".se." not in name}  # all units of a small squeeze may be off

    with adapted.disable_adapter():
        assert not torch.allclose(adapted(clips, attention_mask=mask).logits, outputs, atol=1e-3)
    merged = adapted.merge_and_unload()
    assert isinstance(merged, SampleCNNForAudioClassification)
    torch.testing.assert_close(merged(clips, attention_mask=mask).logits, outputs, atol=1e-3, rtol=1e-3)


def test_trained_adapter_with_its_norms_is_saved_and_loaded(model, tmp_path):
    torch.manual_seed(0)
    model.save_pretrained(tmp_path / "base")
    config = peft.LoraConfig(
        r=2, target_modules=names_of(model, nn.Conv1d), modules_to_save=[*names_of(model, *NORMS), "out_proj"]
    )
    adapted = peft.get_peft_model(model, config).train()
    optimizer = torch.optim.SGD([parameter for parameter in adapted.parameters() if parameter.requires_grad], lr=0.05)
    for step in range(3):
        adapted(noise(4, 2, 1458, seed=step), labels=torch.tensor([0, 1, 2, 3])).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    adapted.eval().save_pretrained(tmp_path / "adapter")

    base = SampleCNNForAudioClassification.from_pretrained(tmp_path / "base")
    before = base(noise(2, 1458)).logits
    loaded = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    expected = adapted(noise(2, 1458)).logits
    torch.testing.assert_close(loaded(noise(2, 1458)).logits, expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(before, expected, atol=1e-3)

    adapted.merge_and_unload().save_pretrained(tmp_path / "merged")
    merged = SampleCNNForAudioClassification.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(merged(noise(2, 1458)).logits, expected, atol=1e-3, rtol=1e-3)


def test_adapter_of_the_model_itself(model):
    """`add_adapter`, transformers' own way."""
    before = model(noise(2, 1458)).logits
    model.add_adapter(peft.LoraConfig(target_modules=["front_end.conv"], init_lora_weights=False))
    adapted = model(noise(2, 1458)).logits
    assert not torch.allclose(adapted, before, atol=1e-4)
    model.disable_adapters()
    torch.testing.assert_close(model(noise(2, 1458)).logits, before)
