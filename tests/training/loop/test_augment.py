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
    x = torch.eye(16).unsqueeze(1)  # segment i is one where label i is
    mixed, labels = augment(x, mixup=1.0)
    assert mixed.squeeze(1).allclose(labels)
    assert labels.sum(1).allclose(torch.ones(16))
    assert ((labels > 0.05) & (labels < 0.95)).any()
