"""`optimize_for_inference`: the same answers, and a model that can only answer."""

import copy

import pytest
import torch
from torch import nn

from samplecnn_hf import SampleCNNForAudioClassification, SampleCNNModel, inference_samplecnn, list_variants

OUTPUTS = {"output_hidden_states": True, "output_excitations": True}


def assert_same_outputs(model, clips, mask=None):
    with torch.no_grad():
        expected = model(clips, mask, **OUTPUTS)
        outputs = model.optimize_for_inference()(clips, mask, **OUTPUTS)
    for name, values in expected.items():
        for value, other in zip(*([x] if torch.is_tensor(x) else x for x in (values, outputs[name])), strict=True):
            assert value.shape == other.shape and value.dtype == other.dtype
            # Random weights amplify the waveform, in residual networks a hundredfold.
            torch.testing.assert_close(other, value, rtol=0, atol=1e-4 * max(1, value.abs().max().item()))


@pytest.mark.parametrize("variant", list_variants())
def test_logits_of_every_variant(make_model, generator, variant):
    model = make_model(variant)
    clips = 0.3 * torch.randn(1, 2, model.config.min_samples + 100, generator=generator)
    assert_same_outputs(model, clips)
    assert not any(isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)) for module in model.modules())


@pytest.mark.parametrize("variant", [name for name in list_variants() if name.startswith("test-")])
@pytest.mark.parametrize("strided", [1, 3])
@pytest.mark.parametrize("partial_frames", ["drop", "pad"])
def test_masks_long_segments_and_pieces(make_model, generator, monkeypatch, variant, strided, partial_frames):
    monkeypatch.setattr(inference_samplecnn, "CPU_PIECE_BYTES", 8000)  # ten rows of the first block
    options = {"num_strided_convolutions": strided, "partial_frames": partial_frames, "multi_level": True}
    model = make_model(variant, problem_type="multi_label_classification", **options)
    clips = 0.3 * torch.randn(3, 2, 1458 + 301, generator=generator)
    assert_same_outputs(model, clips, mask=torch.tensor([[1, 1], [1, 0], [0, 1]]))


def test_a_body_alone(make_model, generator):
    assert_same_outputs(make_model("test-rese1", SampleCNNModel), torch.randn(2, 1458, generator=generator))


@pytest.mark.parametrize("variant", [name for name in list_variants() if name.startswith("test-")])
@pytest.mark.parametrize("strided", [0, 3])
def test_bf16(make_model, generator, variant, strided):
    model = make_model(variant, num_strided_convolutions=strided)
    clips = 0.3 * torch.randn(2, 1458, generator=generator)
    with torch.no_grad():
        expected = model(clips).logits.softmax(-1)
        model.optimize_for_inference(torch.bfloat16)
        logits = model(clips).logits
    assert model.dtype == torch.bfloat16 and logits.dtype == torch.float32
    torch.testing.assert_close(logits.softmax(-1), expected, rtol=0, atol=0.02)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_numbers_that_are_not_finite(tiny_model, dtype, value):
    clips = torch.zeros(2, 1458)
    clips[1, 700] = value
    optimized = copy.deepcopy(tiny_model).optimize_for_inference(dtype)
    with pytest.raises(ValueError, match="input_values hold NaN or infinite samples"):
        optimized(clips)
    nn.init.constant_(tiny_model.classifier.out_proj.bias, value)
    with pytest.raises(ValueError, match="the weights are not finite"):
        tiny_model.optimize_for_inference(dtype)


def test_the_model_is_frozen(tmp_path, tiny_model):
    assert not tiny_model.is_optimized
    assert tiny_model.train().optimize_for_inference() is tiny_model
    assert tiny_model.is_optimized and tiny_model.samplecnn.is_optimized and not tiny_model.training
    assert not any(parameter.requires_grad for parameter in tiny_model.parameters())
    tiny_model.eval()
    for model in (tiny_model, tiny_model.samplecnn, copy.deepcopy(tiny_model)):
        with pytest.raises(RuntimeError, match="cannot be trained: load it again"):
            model.train()
        with pytest.raises(RuntimeError, match="cannot be saved: load it again"):
            model.save_pretrained(tmp_path)
        with pytest.raises(RuntimeError, match="is optimized for inference already"):
            model.optimize_for_inference()
    assert list(tmp_path.iterdir()) == []


def test_layers_that_cannot_be_folded(tiny_model):
    peft = pytest.importorskip("peft")
    model = peft.get_peft_model(tiny_model, peft.LoraConfig(target_modules=["conv"]))
    with pytest.raises(ValueError, match="merge adapters first"):
        model.base_model.model.optimize_for_inference()
    assert not model.base_model.model.is_optimized
    model.merge_and_unload().optimize_for_inference()


def test_a_loaded_model(pretrained, generator):
    clips = torch.randn(2, 1458, generator=generator)
    assert_same_outputs(SampleCNNForAudioClassification.from_pretrained(pretrained), clips)
