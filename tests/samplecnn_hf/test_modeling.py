import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.plain import PlainSampleCNN
from samplecnn_hf import SampleCNNModel, create_config

BLOCK_TYPES = ["basic", "se", "res1", "res2", "rese1", "rese2"]
BASE = [f"{block_type}-{family}" for block_type in BLOCK_TYPES for family in (9, 8)]
TINY = [f"test-{block_type}" for block_type in BLOCK_TYPES]
MULTI_LABEL = "multi_label_classification"

# Every kind of layer, made small: variant and overrides.
TINY_MEL = {"front_end": "mel", "stem_kernel_size": 243, "stem_stride": 81, "num_blocks": 2, "segment_length": 1458}
SMALL = {
    **{variant: (variant, {}) for variant in TINY},
    "multi": ("test-se", {"multi_level": True}),
    "strided0": ("test-basic", {"num_strided_convolutions": 0}),
    "strided3": ("test-basic", {"num_strided_convolutions": 3}),
    "strided6": ("test-rese2", {"num_strided_convolutions": 6}),
    "one channel": ("test-res1", {"num_strided_convolutions": 4, "stem_channels": 1}),
    "stem9x9": ("test-se", {"stem_kernel_size": 9, "stem_stride": 9, "num_blocks": 4}),
    "stem27x9": ("test-basic", {"stem_kernel_size": 27, "stem_stride": 9, "num_blocks": 4}),
    "mel": ("test-se", TINY_MEL),
}
WITH_REFERENCE = [name for name in SMALL if name != "mel"]


def noise(*shape, seed=0):
    return 0.5 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------------------------------------------------------------
# Against a plain network: 1-D layers in the textbook order (convolution, batch norm, ReLU, max-pooling)
# ---------------------------------------------------------------------------------------------------------------------


def with_reference(make_model, name, **overrides):
    variant, small = SMALL[name]
    model = make_model(variant, num_labels=4, se_ratio=0.25, dropout=0.0, **small, **overrides)
    reference = PlainSampleCNN(model.config).eval()
    reference.load_state_dict(model.state_dict())  # strict: no parameter more, none less
    return model, reference


@pytest.mark.parametrize("name", WITH_REFERENCE)
@pytest.mark.parametrize("samples", [1458, 1571])
def test_outputs_are_those_of_the_plain_network(make_model, name, samples):
    model, reference = with_reference(make_model, name)
    model, reference = model.double(), reference.double()  # no rounding to argue about
    segments = noise(3, samples).double() * torch.tensor([[0.05], [1.0], [5.0]])
    with torch.no_grad():
        expected = reference(segments)
        logits = model(segments.unsqueeze(1)).segment_logits.squeeze(1)
    assert expected.std(0).min() > 1e-3  # the input makes a difference
    torch.testing.assert_close(logits.double(), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", WITH_REFERENCE)
def test_training_step_is_that_of_the_plain_network(make_model, name):
    model, reference = with_reference(make_model, name, block_dropout=0.0)
    model, reference = model.double().train(), reference.double().train()
    for module in reference.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    clips, labels = noise(4, 2, 1458).double(), torch.tensor([0, 3, 1, 2])

    model(clips, labels=labels).loss.backward()
    probabilities = reference(clips.flatten(0, 1)).softmax(-1).unflatten(0, (4, 2)).mean(1)
    F.nll_loss(probabilities.log(), labels).backward()

    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    for parameter_name, parameter in reference.named_parameters():
        torch.testing.assert_close(gradients[parameter_name], parameter.grad, atol=1e-6, rtol=1e-4)
    statistics = dict(model.named_buffers())
    for buffer_name, buffer in reference.named_buffers():
        torch.testing.assert_close(statistics[buffer_name], buffer, atol=1e-9, rtol=1e-9)


def slaney_mel_filters(num_filters, n_fft, sampling_rate):
    """Triangles of equal area on Slaney's scale: linear up to 1 kHz, logarithmic above. [frequencies, filters]."""
    step = math.log(6.4) / 27
    highest = 15 + math.log(sampling_rate / 2 / 1000) / step
    mels = np.linspace(0, highest, num_filters + 2)
    edges = np.where(mels < 15, mels * 200 / 3, 1000 * np.exp((mels - 15) * step))
    frequencies = np.arange(n_fft // 2 + 1) * sampling_rate / n_fft
    low, center, high = edges[:-2], edges[1:-1], edges[2:]
    rising = (frequencies[:, None] - low) / (center - low)
    falling = (high - frequencies[:, None]) / (high - center)
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)


@pytest.mark.parametrize("window, hop", [(729, 729), (729, 243), (243, 243), (243, 81), (81, 81)])
def test_mel_front_end_against_numpy(window, hop):
    config = create_config(f"mel-basic-8-{window}x{hop}", num_blocks=1)
    waveform = noise(1, 22050)
    with torch.no_grad():
        output = SampleCNNModel(config).eval()(waveform, output_hidden_states=True)

    padding = (window - hop) // 2
    padded = np.pad(waveform[0].double().numpy(), padding)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    frames = np.stack([padded[i * hop : i * hop + window] * hann for i in range(22050 // hop)])
    magnitude = np.abs(np.fft.rfft(frames, 1024))
    expected = np.log(1 + 10 * magnitude @ slaney_mel_filters(128, 1024, 22050)).T
    np.testing.assert_allclose(output.hidden_states[0][0, 0].numpy(), expected, atol=1e-4, rtol=1e-4)


# ---------------------------------------------------------------------------------------------------------------------
# Segments and clips
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("problem_type", ["single_label_classification", MULTI_LABEL])
@pytest.mark.parametrize("name", SMALL)
def test_batch_of_different_lengths_equals_one_by_one(make_model, name, problem_type):
    variant, overrides = SMALL[name]
    model = make_model(variant, num_labels=5, problem_type=problem_type, **overrides)
    num_segments = [3, 1, 4]
    clips = noise(3, 4, 1458)
    mask = torch.tensor([[int(i < count) for i in range(4)] for count in num_segments])
    clips[mask == 0] = 1e6  # what is in the padding does not matter
    with torch.no_grad():
        batch = model(clips, attention_mask=mask)
        embeddings = model.samplecnn(clips, attention_mask=mask).pooler_output
        for i, count in enumerate(num_segments):
            alone = model(clips[i : i + 1, :count])
            torch.testing.assert_close(batch.logits[i], alone.logits[0], atol=1e-5, rtol=1e-5)
            alone = model.samplecnn(clips[i : i + 1, :count])
            torch.testing.assert_close(embeddings[i], alone.pooler_output[0], atol=1e-5, rtol=1e-5)


def probabilities(model, logits):
    return logits.sigmoid() if model.config.problem_type == MULTI_LABEL else logits.softmax(-1)


@pytest.mark.parametrize("problem_type", ["single_label_classification", MULTI_LABEL])
@pytest.mark.parametrize("scale", [1, 30, 1000])  # at 1000 the segments' logits are in the hundreds
@pytest.mark.parametrize("with_mask", [False, True])
def test_clip_is_the_mean_of_its_segments(make_model, problem_type, scale, with_mask):
    model = make_model("test-basic", num_labels=6, problem_type=problem_type)
    with torch.no_grad():
        model.classifier.out_proj.weight.mul_(scale)
    mask = torch.tensor([[1, 1, 1, 1], [1, 0, 1, 0]]) if with_mask else None
    output = model(noise(2, 4, 1458), attention_mask=mask)
    weights = torch.ones(2, 4) if mask is None else mask.float()
    segments = probabilities(model, output.segment_logits.double()) * weights.unsqueeze(-1)
    expected = segments.sum(1) / weights.sum(1, keepdim=True)
    assert torch.isfinite(output.logits).all()
    torch.testing.assert_close(probabilities(model, output.logits).double(), expected, atol=1e-6, rtol=0)
    if scale == 1000:
        assert output.segment_logits.abs().max() > 100
    output.logits.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("problem_type", ["single_label_classification", MULTI_LABEL])
def test_logits_of_100_do_not_saturate(make_model, problem_type):
    model = make_model("test-basic", num_labels=2, problem_type=problem_type)
    with torch.no_grad():
        model.classifier.out_proj.weight.zero_()
        model.classifier.out_proj.bias.copy_(torch.tensor([100.0, -100.0]))
        logits = model(noise(1, 3, 1458)).logits[0]
    # single-label logits are known up to a constant
    expected = torch.tensor([100.0, -100.0]) if problem_type == MULTI_LABEL else torch.tensor([0.0, -200.0])
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("variant", ["test-se", "test-rese2"])
def test_padding_stays_out_of_the_batch_norm(make_model, variant):
    padded, plain = (make_model(variant, dropout=0.0, block_dropout=0.0).train() for _ in range(2))
    clips, mask = noise(3, 4, 1458), torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0]])
    clips[mask == 0] = 1e6
    with torch.no_grad():
        padded(clips, attention_mask=mask)
        plain(clips[mask == 1])
    statistics = dict(plain.named_buffers())
    for name, buffer in padded.named_buffers():
        torch.testing.assert_close(buffer, statistics[name], atol=1e-6, rtol=1e-5)


def test_samples_without_segments_are_one_segment(tiny_model):
    waveform = noise(2, 2000)
    assert torch.equal(tiny_model(waveform).logits, tiny_model(waveform.unsqueeze(1)).logits)


@pytest.mark.parametrize("name", SMALL)
def test_shapes(make_model, name):
    variant, overrides = SMALL[name]
    model = make_model(variant, num_labels=5, **overrides)
    config = model.config
    with torch.no_grad():
        body = model.samplecnn(noise(2, 3, 1458), output_hidden_states=True, output_excitations=True)
        output = model(noise(2, 3, 1458), output_hidden_states=True, output_excitations=True)
    assert output.logits.shape == (2, 5)
    assert output.segment_logits.shape == (2, 3, 5)
    assert output.loss is None
    assert body.pooler_output.shape == (2, config.hidden_size)
    assert body.segment_embeddings.shape == (2, 3, config.hidden_size)

    channels, frames = config.stem_channels, 1458 // config.stem_stride
    assert body.hidden_states[0].shape == (2, 3, channels, frames)
    for states, channels in zip(body.hidden_states[1:], config.block_channels, strict=True):
        frames //= 3
        assert states.shape == (2, 3, channels, frames)
    assert torch.equal(body.hidden_states[-1], body.last_hidden_state)
    for states, expected in zip(output.hidden_states, body.hidden_states, strict=True):
        assert torch.equal(states, expected)

    if config.block_type in ("se", "rese1", "rese2"):
        assert [tuple(x.shape) for x in body.excitations] == [(2, 3, c) for c in config.block_channels]
        assert all(((x > 0) & (x < 1)).all() for x in body.excitations)
        assert len(output.excitations) == len(body.excitations)
    else:
        assert body.excitations == () == output.excitations


def test_excitation_is_what_the_channels_are_multiplied_by(make_model):
    model = make_model("test-se", SampleCNNModel)
    without = copy.deepcopy(model)
    with torch.no_grad():
        for block in without.blocks[-1:]:  # sigmoid(100) = 1: the last block lets everything through
            block.se.excite.weight.zero_()
            block.se.excite.bias.fill_(100.0)
        output = model(noise(1, 2, 1458), output_excitations=True)
        plain = without(noise(1, 2, 1458))
    expected = plain.last_hidden_state * output.excitations[-1].unsqueeze(-1)
    torch.testing.assert_close(output.last_hidden_state, expected)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("mask", [None, [[1, 1, 1], [1, 0, 0]]])
def test_hidden_states_retain_their_gradients(make_model, training, mask):
    model = make_model("test-se", num_labels=4).train(training)
    mask = None if mask is None else torch.tensor(mask)
    output = model(noise(2, 3, 1458), attention_mask=mask, labels=torch.tensor([0, 3]), output_hidden_states=True)
    for states in output.hidden_states:
        states.retain_grad()
    output.loss.backward()
    for states in output.hidden_states:
        segments = states.grad.flatten(2).abs().sum(-1)
        assert torch.equal(segments > 0, torch.ones(2, 3, dtype=torch.bool) if mask is None else mask.bool())


def test_last_hidden_state_is_left_out_on_request(make_model):
    model = make_model("test-se", SampleCNNModel)
    output = model(noise(2, 3, 1458), output_last_hidden_state=False)
    assert output.last_hidden_state is None
    assert torch.equal(output.pooler_output, model(noise(2, 3, 1458)).pooler_output)


def test_extras_only_when_asked_for(tiny_model):
    assert set(tiny_model(noise(1, 1458)).keys()) == {"logits", "segment_logits", "pooler_output"}
    assert set(tiny_model.samplecnn(noise(1, 1458)).keys()) == {
        "last_hidden_state",
        "pooler_output",
        "segment_embeddings",
    }


def test_tuple_output(tiny_model):
    waveform, labels = noise(2, 1458), torch.tensor([0, 1])
    expected = tiny_model(waveform, labels=labels)
    loss, logits, segment_logits, embedding = tiny_model(waveform, labels=labels, return_dict=False)
    assert torch.equal(loss, expected.loss)
    assert torch.equal(logits, expected.logits)
    assert torch.equal(segment_logits, expected.segment_logits)
    assert torch.equal(embedding, tiny_model.samplecnn(waveform).pooler_output)


@pytest.mark.parametrize(
    "input_shape, mask_shape, message",
    [
        ((1458,), None, r"\[batch, samples\] or \[batch, segments, samples\]"),
        ((1, 1, 1, 1458), None, r"\[batch, samples\] or \[batch, segments, samples\]"),
        ((1, 728), None, "728 samples per segment; this network needs at least 729"),
        ((2, 3, 500), None, "at least 729"),
        ((2, 3, 1458), (2, 2), r"\[2, 3\]; got \[2, 2\]"),
        ((2, 3, 1458), (2, 3, 1458), r"got \[2, 3, 1458\]"),
        ((2, 1458), (2,), r"\[2, 1\]; got \[2\]"),
        ((2, 1458), (2, 1458), r"\[2, 1\]; got \[2, 1458\]"),
    ],
)
def test_wrong_shapes(tiny_model, input_shape, mask_shape, message):
    mask = None if mask_shape is None else torch.ones(mask_shape, dtype=torch.long)
    with pytest.raises(ValueError, match=message):
        tiny_model(torch.zeros(input_shape), attention_mask=mask)


def test_long_audio_runs_a_few_segments_at_a_time(make_model):
    model = make_model("test-se", num_labels=4)
    seen = []
    model.samplecnn.front_end.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    clips = noise(3, 21, 1458)
    with torch.no_grad():
        together = model(clips, output_excitations=True, output_hidden_states=True)
        assert max(seen) <= 2 and sum(seen) == 63
        apart = [model(clip[None], output_excitations=True, output_hidden_states=True) for clip in clips]
    torch.testing.assert_close(together.logits, torch.cat([output.logits for output in apart]), atol=1e-5, rtol=1e-5)
    for name in ("excitations", "hidden_states"):
        for block, tensor in enumerate(together[name]):
            one_by_one = torch.cat([output[name][block] for output in apart])
            torch.testing.assert_close(tensor, one_by_one, atol=1e-5, rtol=1e-4)
