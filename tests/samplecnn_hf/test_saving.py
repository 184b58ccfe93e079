import copy
import logging
import math
import re

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModel, AutoModelForAudioClassification

from samplecnn_hf import SampleCNNForAudioClassification, SampleCNNModel, create_config, list_variants

BLOCK_TYPES = ["basic", "se", "res1", "res2", "rese1", "rese2"]
QUICK = [f"{block_type}-{family}" for block_type in BLOCK_TYPES for family in (9, 8)]
QUICK += [f"test-{block_type}" for block_type in BLOCK_TYPES]


def noise(*shape, seed=0):
    return 0.5 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def assert_same_weights(state, expected):
    assert state.keys() == expected.keys()
    for name in expected:
        assert state[name].dtype == expected[name].dtype
        assert torch.equal(state[name], expected[name]), name


@pytest.mark.parametrize(
    "variant",
    [pytest.param(v, marks=[] if v in QUICK else pytest.mark.slow) for v in list_variants()],
)
def test_save_and_load_bit_identical(make_model, tmp_path, variant):
    model = make_model(variant, num_labels=3)
    model.save_pretrained(tmp_path)
    loaded = SampleCNNForAudioClassification.from_pretrained(tmp_path)
    assert not loaded.training
    assert_same_weights(loaded.state_dict(), model.state_dict())
    waveform = noise(1, model.config.segment_length)
    with torch.no_grad():
        expected = model(waveform).segment_logits
        assert torch.isfinite(expected).all()
        torch.testing.assert_close(loaded(waveform).segment_logits, expected, atol=1e-4, rtol=1e-4)
        # Loaded weights lie where the file has them, and at other addresses some kernels round otherwise in the last
        # bit; a copy lies as the saved model does.
        assert torch.equal(copy.deepcopy(loaded)(waveform).segment_logits, expected)


def test_weights_are_saved_as_safetensors_alone(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path)
    others = {path.name for path in tmp_path.iterdir() if path.suffix not in (".py", ".json")}
    assert others == {"model.safetensors"}


def test_body_of_a_classifier(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path)
    body = AutoModel.from_pretrained(tmp_path)
    assert isinstance(body, SampleCNNModel)
    assert_same_weights(body.state_dict(), tiny_model.samplecnn.state_dict())


@pytest.fixture
def report(caplog):
    """What transformers logs."""
    logger = logging.getLogger("transformers")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


@pytest.mark.parametrize("model_class", [AutoModel, SampleCNNModel])
def test_loading_the_body_of_a_classifier_reports_nothing(tiny_model, tmp_path, report, model_class):
    tiny_model.save_pretrained(tmp_path)
    assert isinstance(model_class.from_pretrained(tmp_path), SampleCNNModel)
    assert report.text == ""


@pytest.mark.parametrize("model_class", [AutoModel, SampleCNNModel, SampleCNNForAudioClassification])
def test_unexpected_weights_are_reported(tiny_model, tmp_path, report, model_class):
    tiny_model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    unexpected = ["classifier.other.weight", "classifier.norm.other", "samplecnn.other.weight"]
    weights |= {name: torch.zeros(1) for name in unexpected}
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    model_class.from_pretrained(tmp_path)
    if model_class is not SampleCNNForAudioClassification:  # the body knows nothing of the layers of the head
        unexpected.remove("classifier.norm.other")
    for name in unexpected:
        assert name.removeprefix("samplecnn.") in report.text
    assert "classifier.dense" not in report.text


def test_positional_arguments_of_saving(tiny_model, tmp_path):
    zeros = {name: torch.zeros_like(tensor) for name, tensor in tiny_model.state_dict().items()}
    tiny_model.save_pretrained(tmp_path / "main", True, dict(zeros))
    assert_same_weights(load_file(tmp_path / "main" / "model.safetensors"), zeros)
    tiny_model.save_pretrained(tmp_path / "other", False)  # not the main process
    assert not (tmp_path / "other" / "model.safetensors").exists()


# ---------------------------------------------------------------------------------------------------------------------
# The constants of the mel-spectrogram
# ---------------------------------------------------------------------------------------------------------------------

MEL = {"front_end": "mel", "stem_kernel_size": 243, "stem_stride": 81, "num_blocks": 2, "segment_length": 1458}


def loaded_with_other_mel_bins(tmp_path, config):
    SampleCNNModel(create_config("test-se", **MEL)).save_pretrained(tmp_path)
    overrides = {"stem_channels": config.stem_channels, "n_fft": config.n_fft, "stem_kernel_size": 405}
    return SampleCNNModel.from_pretrained(tmp_path, ignore_mismatched_sizes=True, **overrides)


def without_them_in_the_file(tmp_path, config):
    SampleCNNModel(config).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["front_end.mel_filters"], weights["front_end.window"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    return SampleCNNModel.from_pretrained(tmp_path)


def from_the_meta_device(tmp_path, config):
    with torch.device("meta"):
        model = AutoModel.from_config(config)
    model.to_empty(device="cpu")
    model.init_weights()
    return model


def in_half_precision(tmp_path, config):
    AutoModel.from_config(config, dtype=torch.bfloat16).save_pretrained(tmp_path)
    return AutoModel.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "make", [loaded_with_other_mel_bins, without_them_in_the_file, from_the_meta_device, in_half_precision]
)
def test_mel_constants_are_right(make, tmp_path):
    config = create_config("test-se", **{**MEL, "stem_channels": 20, "n_fft": 512, "stem_kernel_size": 405})
    expected = SampleCNNModel(config)
    model = make(tmp_path, config).eval()
    buffers = dict(model.named_buffers())
    for name, buffer in expected.front_end.named_buffers():
        tolerance = 0.0 if model.dtype == torch.float32 else 0.01
        torch.testing.assert_close(buffers[f"front_end.{name}"].float(), buffer, atol=tolerance, rtol=tolerance)
    assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())
    assert torch.isfinite(model(noise(1, 1458)).last_hidden_state).all()


@pytest.mark.parametrize("variant", ["test-se", "mel-se-8-81x81"])
def test_classifier_on_a_body(make_model, tmp_path, variant):
    body = make_model(variant, SampleCNNModel)
    body.save_pretrained(tmp_path)
    model, info = SampleCNNForAudioClassification.from_pretrained(tmp_path, num_labels=5, output_loading_info=True)
    assert_same_weights(model.samplecnn.state_dict(), body.state_dict())
    assert all(key.startswith("classifier.") for key in info["missing_keys"])
    # the head is new: initialized, and not what happened to be in memory
    head = model.classifier
    for layer in (head.dense, head.out_proj):
        bound = glorot_bound(layer.out_features, layer.in_features)
        assert 0.8 * bound < layer.weight.abs().max() <= bound
        assert torch.equal(layer.bias, torch.zeros_like(layer.bias))
    assert torch.equal(head.norm.weight, torch.ones_like(head.norm.weight))
    assert torch.equal(head.norm.running_var, torch.ones_like(head.norm.running_var))
    assert head.out_proj.out_features == 5


def test_fine_tuning_on_other_labels(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path)
    labels = {"id2label": {0: "on", 1: "off"}, "label2id": {"on": 0, "off": 1}}
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        SampleCNNForAudioClassification.from_pretrained(tmp_path, num_labels=2, **labels)
    model = AutoModelForAudioClassification.from_pretrained(
        tmp_path, num_labels=2, ignore_mismatched_sizes=True, **labels
    )
    assert_same_weights(model.samplecnn.state_dict(), tiny_model.samplecnn.state_dict())
    assert torch.equal(model.classifier.dense.weight, tiny_model.classifier.dense.weight)
    assert model.classifier.out_proj.weight.shape == (2, 32)
    assert model.config.id2label == {0: "on", 1: "off"}
    bound = math.sqrt(6 / 32)
    assert 0.8 * bound < model.classifier.out_proj.weight.abs().max() <= bound
    assert model(noise(1, 1458)).logits.shape == (1, 2)


def test_deepcopy_is_independent(tiny_model):
    twin = copy.deepcopy(tiny_model)
    waveform = noise(1, 1458)
    before = tiny_model(waveform).logits
    assert torch.equal(twin(waveform).logits, before)
    nn.init.zeros_(twin.classifier.out_proj.weight)
    assert torch.equal(tiny_model(waveform).logits, before)


# ---------------------------------------------------------------------------------------------------------------------
# Initialization
# ---------------------------------------------------------------------------------------------------------------------


def he_bound(in_channels, kernel_size):
    return math.sqrt(6 / (in_channels * kernel_size))


def sampleaudio_bound(in_channels, kernel_size):
    """Variance scaling (1 for the stem, 2 above it) whose fan-in counts the input channels twice."""
    scale = 1 if in_channels == 1 else 2
    return math.sqrt(3 * scale / (kernel_size * in_channels**2))


def glorot_bound(out_channels, in_channels):
    return math.sqrt(6 / (in_channels + out_channels))


@pytest.mark.parametrize(
    "initializer, convolution_bound", [("he_uniform", he_bound), ("sampleaudio", sampleaudio_bound)]
)
@pytest.mark.parametrize("variant", ["test-se", "test-rese2"])
def test_initial_weights(initializer, convolution_bound, variant):
    """Glorot for dense, squeeze-and-excitation and shortcut layers, as the authors have it."""
    torch.manual_seed(0)
    config = create_config(variant, initializer=initializer, stem_channels=32, se_ratio=0.5, num_labels=50)
    model = SampleCNNForAudioClassification(config)
    checked = 0
    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv1d, nn.Linear)):
            if re.search(r"\.se\.|shortcut|classifier", name):
                bound = glorot_bound(*module.weight.shape[:2])
            else:
                bound = convolution_bound(*module.weight.shape[1:])
            assert 0.9 * bound < module.weight.abs().max() <= bound
            assert module.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.15)  # uniform
            assert torch.equal(module.bias, torch.zeros_like(module.bias))
            checked += 1
        elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for tensor, value in [
                (module.weight, 1.0),
                (module.bias, 0.0),
                (module.running_mean, 0.0),
                (module.running_var, 1.0),
            ]:
                assert torch.equal(tensor, torch.full_like(tensor, value))
    assert checked > 10
