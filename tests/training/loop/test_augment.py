import pytest
import torch

from training.loop.augment import SNR_RANGE, Augment
from training.recipe import parse_recipe

RATE = 8000


def augment(x, labels=None, background=None, **fields):
    options = [f"--{name}={value}" for name, value in fields.items()]
    recipe = parse_recipe(["--data_dir=data", "--output_dir=run", *options])
    labels = torch.eye(len(x)) if labels is None else labels
    return Augment(recipe, RATE, background)(x, labels)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_nothing_asked_for_changes_nothing():
    x = torch.randn(4, 1, 100)
    augmented, labels = augment(x)
    assert torch.equal(augmented, x) and torch.equal(labels, torch.eye(4))


def test_time_shift_moves_an_impulse_within_the_limit_and_pads_with_silence():
    x = torch.zeros(64, 1, RATE)
    x[:, :, RATE // 2] = 1
    moved = augment(x, time_shift=0.1)[0].squeeze(1)
    assert moved.sum(1).allclose(torch.ones(64), atol=1e-3)  # the impulse is there, once
    offsets = moved.argmax(1) - RATE // 2
    assert offsets.abs().max() <= 0.1 * RATE + 1
    assert offsets.min() < -0.05 * RATE and offsets.max() > 0.05 * RATE


def test_speed_changes_pitch():
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(RATE) / RATE).expand(64, 1, RATE)
    changed = augment(tone, speed=0.2)[0].squeeze(1)
    pitch = (
        torch.fft.rfft(changed[:, 1000:-1000] * torch.hann_window(RATE - 2000)).abs().argmax(1) * RATE / (RATE - 2000)
    )
    assert pitch.min() >= 795 and pitch.max() <= 1205
    assert pitch.min() < 900 and pitch.max() > 1100


def test_tempo_changes_duration_and_keeps_pitch():
    time = torch.arange(RATE) / RATE
    tone = torch.sin(2 * torch.pi * 1000 * time) * ((time > 0.3) & (time < 0.7))
    changed = augment(tone.expand(64, 1, RATE), tempo=0.4)[0].squeeze(1)
    pitch = torch.fft.rfft(changed * torch.hann_window(RATE)).abs().argmax(1)
    assert (pitch - 1000).abs().max() <= 5
    level = changed.unfold(1, 80, 80).square().mean(2)
    seconds = (level > 0.5 * level.amax(1, keepdim=True)).sum(1) / 100
    assert 0.4 / 1.4 - 0.05 < seconds.min() < 0.33 and 0.5 < seconds.max() < 0.4 * 1.4 + 0.05


def test_gain_stays_within_the_limit():
    x = torch.randn(64, 1, 100)
    ratio = augment(x, gain=6)[0].square().sum(2) / x.square().sum(2)
    decibels = 10 * ratio.log10()
    assert decibels.abs().max() <= 6.001
    assert decibels.min() < -3 and decibels.max() > 3


@pytest.mark.parametrize("recorded", [False, True])
def test_noise_has_the_stated_level(recorded):
    x = torch.randn(200, 1, 2000)
    background = 7 * torch.randn(10 * RATE) if recorded else None
    noise = augment(x, noise=0.5, background=background)[0] - x
    noisy = noise.square().sum((1, 2)) > 0
    assert 0.35 < noisy.float().mean() < 0.65
    snr = 10 * (x.square().sum((1, 2)) / noise.square().sum((1, 2)))[noisy].log10()
    assert SNR_RANGE[0] - 0.01 <= snr.min() and snr.max() <= SNR_RANGE[1] + 0.01


def test_silence_stays_finite():
    assert torch.equal(augment(torch.zeros(8, 1, 100), noise=1)[0], torch.zeros(8, 1, 100))


def test_mixup_mixes_sound_and_labels_alike():
    """Segment i is a pulse where label i is, and louder than the one before; level and label have the same ratio."""
    x = (torch.eye(16) * 2.0 ** torch.arange(16)).unsqueeze(1)
    mixed, labels = augment(x, mixup=1.0)
    parts = mixed.squeeze(1)
    assert (parts / parts.sum(1, keepdim=True)).allclose(labels, atol=1e-5)
    assert labels.sum(1).allclose(torch.ones(16))
    assert ((labels > 0.05) & (labels < 0.95)).any()


def test_formants_move_and_pitch_stays():
    time = torch.arange(RATE) / RATE
    harmonics = 125 * torch.arange(1, 32)
    resonance = torch.exp(-(((harmonics - 1500) / 300) ** 2)) + 1e-3
    voice = (resonance[:, None] * torch.sin(2 * torch.pi * harmonics[:, None] * time)).sum(0).expand(64, 1, RATE)
    power = torch.fft.rfft(augment(voice, formants=0.2)[0].squeeze(1)).abs().square()
    center = (power * torch.arange(power.shape[1])).sum(1) / power.sum(1)
    assert 1200 < center.min() < 1375 and 1650 < center.max() < 1900
    at_harmonics = power.unflatten(1, (-1, 1))[:, :4000, 0].unflatten(1, (-1, 125))
    assert (at_harmonics[:, :, [0, 1, 124]].sum((1, 2)) > 0.95 * power.sum(1)).all()


def test_mixup_keeps_the_level():
    x = torch.randn(64, 1, 4000)
    level = augment(x, mixup=1.0)[0].square().mean((1, 2)).sqrt()
    assert level.allclose(torch.ones(64), atol=0.1)


def test_mixup_with_silence_does_not_add_the_label_of_a_sound_that_is_not_heard():
    x = torch.zeros(64, 1, 100)
    x[:32] = 1
    mixed, labels = augment(x, torch.eye(2).repeat_interleave(32, 0), mixup=1.0)
    heard = mixed.abs().amax((1, 2)) > 1e-3
    assert heard.any() and not heard.all()
    assert (labels[heard, 0] > 0.99).all()


def test_equalizer_is_a_smooth_filter_within_the_limit():
    x = torch.zeros(64, 1, RATE)
    x[:, :, 0] = 1  # its spectrum is flat
    response = 20 * torch.fft.rfft(augment(x, equalizer=6)[0].squeeze(1)).abs().log10()
    assert response.abs().max() <= 6.01
    assert response.std(0).min() > 1  # each segment has another response at each frequency
    assert response.diff(dim=1).abs().max() < 0.5  # dB per Hz


def test_phase_is_smooth_within_the_limit_and_keeps_the_level_of_each_frequency():
    x = torch.zeros(64, 1, RATE)
    x[:, :, 0] = 1
    response = torch.fft.rfft(augment(x, phase=0.5)[0].squeeze(1))[:, 1:-1]  # without 0 Hz and half the rate: real
    assert response.abs().sub(1).abs().max() < 1e-3
    assert response.angle().abs().max() <= torch.pi / 2 + 1e-3
    assert response.angle().std(0).min() > 0.3
    assert response.angle().diff(dim=1).abs().max() < 0.1


def test_reverberation_follows_the_sound_and_is_not_louder():
    x = torch.zeros(400, 1, RATE)
    x[:, :, 1000] = 1
    reverberant = augment(x, reverberation=0.5)[0]
    tail = (reverberant - x).squeeze(1)
    assert tail[:, :1000].abs().max() < 1e-5
    chosen = tail.abs().amax(1) > 1e-4
    assert 0.4 < chosen.float().mean() < 0.6
    level = 10 * tail[chosen].square().sum(1).log10()
    assert level.min() > -20.1 and level.max() < 0.1 and level.std() > 3
    early, late = tail[chosen][:, 1000:2000].square().sum(1), tail[chosen][:, -1000:].square().sum(1)
    assert (late < 0.5 * early).all()


def test_noise_without_recordings_is_white_to_brown():
    x = torch.zeros(200, 1, RATE)
    x[:, :, 0] = 1e-3
    power = torch.fft.rfft((augment(x, noise=1)[0] - x).squeeze(1)).abs().square()
    low = power[:, : RATE // 16].sum(1) / power.sum(1)  # the lowest eighth
    assert low.min() < 0.25 and low.max() > 0.9


def test_time_mask_silences_one_stretch():
    masked = augment(torch.ones(200, 1, RATE), time_mask=0.25)[0].squeeze(1)
    fraction = (masked == 0).float().mean(1)
    assert fraction.max() <= 0.25 and fraction.max() > 0.2 and fraction.min() < 0.05
    assert (masked.diff(dim=1).abs().sum(1) <= 2).all()
    assert (masked == 0).any(0)[RATE // 10 : -RATE // 10].all()  # anywhere
