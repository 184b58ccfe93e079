import copy

import numpy as np
import pytest
import torch
from transformers.audio_utils import mel_filter_bank

from samplecnn_hf import SampleCNNFeatureExtractor, SampleCNNModel
from samplecnn_hf.analysis import FilterEstimates, estimate_filters, filters, input_rms, log_likeness, mel_curve

NYQUIST = 11025.0
TINY_MEL = {"front_end": "mel", "stem_kernel_size": 243, "stem_stride": 243, "num_blocks": 1, "segment_length": 1458}
# Every kind of layer to climb through: variant, overrides and a layer.
LAYERS = {
    "stem": ("test-se", {}, 1),
    "basic": ("test-basic", {}, 3),
    "se": ("test-se", {}, 2),
    "res2": ("test-res2", {}, 3),
    "rese1": ("test-rese1", {}, 6),
    "strided0": ("test-basic", {"num_strided_convolutions": 0}, 1),
    "strided3": ("test-basic", {"num_strided_convolutions": 3}, 4),
    "mel": ("test-se", {"stem_channels": 8, **TINY_MEL}, 1),
    "block on mel": ("test-se", {"stem_channels": 8, **TINY_MEL}, 2),
}


@pytest.fixture
def few_steps(monkeypatch):
    monkeypatch.setattr(filters, "NUM_STEPS", 5)


def mean_activations(model, layer, waveforms):
    """What is maximised, up to ReLU: the output of a layer without squeeze-and-excitation [filters]."""
    with torch.no_grad():
        states = model(torch.from_numpy(waveforms), output_hidden_states=True).hidden_states[layer - 1]
    return states.squeeze(1).mean(-1).diagonal()


@pytest.mark.parametrize("name", LAYERS)
def test_shapes_and_level(make_model, few_steps, name):
    variant, overrides, layer = LAYERS[name]
    model = make_model(variant, **overrides)
    estimates = estimate_filters(model, layer)
    num_filters = [model.config.stem_channels, *model.config.block_channels][layer - 1]
    assert (estimates.layer, estimates.sampling_rate) == (layer, 22050)
    assert estimates.waveforms.shape == (num_filters, 729)
    assert estimates.waveforms.dtype == np.float32
    np.testing.assert_allclose(np.sqrt((estimates.waveforms**2).mean(1)), 0.03, rtol=1e-4)
    assert estimates.spectra.shape == (num_filters, 365)
    assert estimates.frequencies[0] == 0 and estimates.frequencies[-1] == pytest.approx(NYQUIST, abs=20)


@pytest.mark.parametrize("layer", [1, 2, 4])
def test_waveforms_excite_their_own_filter_more_than_noise_does(make_model, layer):
    model = make_model("test-basic", SampleCNNModel, segment_length=729)
    estimates = estimate_filters(model, layer)
    noise = 0.03 * np.random.default_rng(0).standard_normal(estimates.waveforms.shape).astype(np.float32)
    excited, before = (mean_activations(model, layer, x) for x in (estimates.waveforms, noise))
    assert (excited >= before).all()
    assert excited.mean() > 1.2 * before.mean()


def test_shifted_waveforms_excite_their_filter_too(make_model, monkeypatch):
    model = make_model("test-basic", SampleCNNModel, segment_length=729)

    def over_shifts(waveforms):
        shifted = [mean_activations(model, 4, np.roll(waveforms, shift, axis=1)) for shift in range(0, 81, 3)]
        return torch.stack(shifted).mean()

    robust = over_shifts(estimate_filters(model, 4).waveforms)
    monkeypatch.setattr(filters, "_hop_length", lambda config, layer: 729)  # a whole turn: not shifted
    assert robust > 1.1 * over_shifts(estimate_filters(model, 4).waveforms)


@pytest.mark.parametrize(
    "strided, layer, expected", [(0, 3, 1), (1, 1, 3), (1, 6, 3), (3, 1, 3), (3, 2, 9), (3, 6, 27)]
)
def test_waveforms_are_shifted_by_frames_of_the_strided_convolutions(make_model, strided, layer, expected):
    config = make_model("test-basic", num_strided_convolutions=strided).config
    assert filters._hop_length(config, layer) == expected


def test_peaks_of_a_stem_of_known_band_pass_filters(make_model):
    """27-sample cosines of k periods, as filters: their waveforms have their peaks at k * 22,050 / 27 Hz."""
    model = make_model("test-basic", SampleCNNModel, stem_kernel_size=27, stem_stride=27, num_blocks=3)
    periods = torch.tensor([3, 1, 13, 7, 5, 2, 11, 9])
    with torch.no_grad():
        model.front_end.conv.weight.copy_(torch.cos(2 * torch.pi * periods[:, None, None] * torch.arange(27) / 27))
        model.front_end.norm.weight.fill_(1.0)
    estimates = estimate_filters(model, 1)
    np.testing.assert_allclose(estimates.peak_frequencies, periods * 22050 / 27, atol=1e-6)
    assert periods[torch.from_numpy(estimates.order)].tolist() == [1, 2, 3, 5, 7, 9, 11, 13]
    # 729 samples are whole periods: all other bins are far below
    assert np.sort(estimates.spectra, axis=1)[:, -2].max() < -20


def test_peaks_of_a_mel_spectrogram_are_its_bands(make_model):
    model = make_model("test-se", stem_channels=16, **TINY_MEL)
    estimates = estimate_filters(model, 1)
    bands = mel_filter_bank(513, 16, 0.0, NYQUIST, 22050, norm="slaney", mel_scale="slaney")
    centers = np.linspace(0, NYQUIST, 513)[bands.argmax(0)]
    widths = [np.ptp(np.linspace(0, NYQUIST, 513)[band > 0]) for band in bands.T]
    assert (np.abs(estimates.peak_frequencies - centers) < np.maximum(widths, 2 * 22050 / 243)).all()
    assert log_likeness(estimates.peak_frequencies, 22050) > 0.7


def test_deeper_layers_take_longer_waveforms(make_model, few_steps):
    model = make_model("test-basic", stem_kernel_size=9, stem_stride=9, segment_length=2187)
    assert estimate_filters(model, 5).waveforms.shape[1] == 729
    assert estimate_filters(model, 6).waveforms.shape[1] == 9 * 3**5
    assert estimate_filters(model, 6, num_samples=2200).waveforms.shape[1] == 2200


def test_one_by_one_gives_the_same(make_model, few_steps, monkeypatch):
    model = make_model("test-se")
    together = estimate_filters(model, 3).waveforms
    monkeypatch.setattr(filters, "FILTERS_AT_A_TIME", 1)
    np.testing.assert_allclose(estimate_filters(model, 3).waveforms, together, atol=1e-5)


def test_the_seed_decides(make_model, few_steps):
    model = make_model("test-se")
    first = estimate_filters(model, 2).waveforms
    torch.manual_seed(5)
    assert np.array_equal(estimate_filters(model, 2).waveforms, first)
    assert not np.allclose(estimate_filters(model, 2, seed=1).waveforms, first, atol=1e-3)


def test_the_body_alone_gives_the_same(make_model, few_steps):
    model = make_model("test-se")
    expected = estimate_filters(model, 2).waveforms
    assert np.array_equal(estimate_filters(model.samplecnn, 2).waveforms, expected)


@pytest.mark.parametrize("training", [False, True])
def test_the_model_is_left_as_it_was(make_model, few_steps, training):
    model = make_model("test-rese2")
    expected = estimate_filters(model, 3).waveforms
    model.train(training)
    model.samplecnn.blocks[0].requires_grad_(False)
    before = copy.deepcopy(model)
    assert np.array_equal(estimate_filters(model, 3).waveforms, expected)  # in eval mode whatever the user's is
    for (name, tensor), (_, old) in zip(model.state_dict().items(), before.state_dict().items(), strict=True):
        assert torch.equal(tensor, old), name
    for (name, parameter), (_, old) in zip(model.named_parameters(), before.named_parameters(), strict=True):
        assert parameter.requires_grad == old.requires_grad and parameter.grad is None, name
    for module, old in zip(model.modules(), before.modules(), strict=True):
        assert module.training == old.training
        assert len(module._forward_hooks) == len(old._forward_hooks)


@pytest.mark.parametrize("without_gradients", [torch.no_grad, torch.inference_mode])
def test_where_gradients_are_off(make_model, few_steps, without_gradients):
    model = make_model("test-se")
    expected = estimate_filters(model, 2).waveforms
    with without_gradients():
        assert np.array_equal(estimate_filters(model, 2).waveforms, expected)


def test_bfloat16_weights_are_climbed_in_float32(make_model, few_steps):
    waveforms = estimate_filters(make_model("test-se").to(torch.bfloat16), 2).waveforms
    assert waveforms.dtype == np.float32 and np.isfinite(waveforms).all()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"layer": 0}, "between 1 and 6; got 0"),
        ({"layer": 7}, "between 1 and 6; got 7"),
        ({"layer": 6, "num_samples": 728}, "layer 6 needs num_samples of at least 729; got 728"),
    ],
)
def test_wrong_arguments(tiny_model, arguments, message):
    with pytest.raises(ValueError, match=message):
        estimate_filters(tiny_model, **arguments)


def test_spectra_are_relative_to_the_peak(make_tone):
    waveforms = np.stack([make_tone(22050 * k / 900, seconds=900 / 22050, amplitude=0.1 * k) for k in (50, 10)])
    estimates = FilterEstimates(2, 22050, waveforms)
    np.testing.assert_allclose(estimates.peak_frequencies, [1225, 245])
    np.testing.assert_allclose(estimates.spectra.max(1), 0)
    assert np.sort(estimates.spectra, axis=1)[:, -2].max() < -60  # whole periods: all else is rounding
    assert estimates.spectra.min() == pytest.approx(-120, abs=1e-3)
    assert estimates.order.tolist() == [1, 0]


def test_mel_curve():
    curve = mel_curve(129, 22050)
    assert curve[0] == 0 and curve[-1] == pytest.approx(NYQUIST)
    assert (np.diff(curve) > 0).all() and (np.diff(curve, 2) > -1e-6).all()  # steeper and steeper
    assert curve[64] < NYQUIST / 4


def test_log_likeness():
    line, mel = np.linspace(0, NYQUIST, 100), mel_curve(100, 22050)
    rng = np.random.default_rng(0)
    assert log_likeness(line, 22050) == 0
    assert log_likeness(mel, 22050) == 1
    assert log_likeness(rng.permutation(mel), 22050) == 1  # it sorts
    steps = [log_likeness(line + t * (mel - line), 22050) for t in (0.1, 0.4, 0.8)]
    assert steps == pytest.approx([0.1, 0.4, 0.8])
    assert 0.5 < log_likeness(mel / 2, 22050) < 1


@pytest.mark.parametrize("options", [{}, {"std": 0.155}, {"do_normalize": True}])
def test_input_level_is_what_the_network_gets_of_quiet_speech(options):
    extractor = SampleCNNFeatureExtractor(segment_length=1458, **options)
    noise = np.random.default_rng(0).standard_normal(1458)
    inputs = extractor(0.03 * noise / np.sqrt((noise**2).mean()), sampling_rate=22050)["input_values"]
    assert np.sqrt((inputs**2).mean()) == pytest.approx(input_rms(extractor), rel=0.01)


def test_a_model_optimized_for_inference(tiny_model):
    with pytest.raises(ValueError, match="optimized for inference: load it again"):
        estimate_filters(tiny_model.optimize_for_inference(), 2)
