"""Spectrum and envelope of each kind of sound."""

import numpy as np
import pytest
from scipy import signal

from training.data.sources.dcase2017 import LABELS
from training.synthetic.scene_sounds import SAMPLE_RATE, SOUNDS, make_sound


def sound_of(label, seconds, seed=0):
    return make_sound(label, np.random.default_rng(seed), int(seconds * SAMPLE_RATE))


def rms(sound, seconds):
    """RMS of consecutive pieces of `seconds`."""
    length = int(seconds * SAMPLE_RATE)
    return np.sqrt(np.mean(sound[: len(sound) // length * length].reshape(-1, length) ** 2, axis=1))


def pitch_track(sound, low, high, seconds=0.1):
    """Strongest frequency between `low` and `high` Hz in consecutive pieces of `seconds`."""
    length = int(seconds * SAMPLE_RATE)
    pieces = sound[: len(sound) // length * length].reshape(-1, length) * np.hanning(length)
    spectrum = np.abs(np.fft.rfft(pieces, 8 * length))
    frequencies = np.fft.rfftfreq(8 * length, 1 / SAMPLE_RATE)
    inside = (low <= frequencies) & (frequencies <= high)
    return frequencies[inside][spectrum[:, inside].argmax(axis=1)]


def energy_above(sound, frequency):
    """Fraction of the energy above `frequency`."""
    energy = np.abs(np.fft.rfft(sound)) ** 2
    return energy[np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE) > frequency].sum() / energy.sum()


def test_there_is_a_sound_for_each_label():
    assert list(SOUNDS) == LABELS


@pytest.mark.parametrize("label", LABELS)
def test_sounds_are_clean_and_never_the_same(label):
    sound = sound_of(label, 4.5)
    assert sound.shape == (int(4.5 * SAMPLE_RATE),)
    assert np.isfinite(sound).all()
    assert np.abs(sound).max() == pytest.approx(1)
    assert abs(sound.mean()) < 1e-6
    assert (rms(sound, 1.0) > 0.003).all()  # audible in each segment
    np.testing.assert_array_equal(sound, sound_of(label, 4.5))
    assert abs(np.corrcoef(sound, sound_of(label, 4.5, seed=1))[0, 1]) < 0.5


@pytest.mark.parametrize("seed", range(3))
def test_reversing_beeps_switch_on_and_off_at_one_pitch(seed):
    sound = sound_of("Reversing beeps", 6, seed)
    is_on = rms(sound, 0.01) > 0.1
    assert 0.4 < is_on.mean() < 0.6
    assert 5 <= np.count_nonzero(np.diff(is_on.astype(int)) == 1) <= 10
    pitches = pitch_track(sound, 500, 2000)[rms(sound, 0.1) > 0.3]
    assert np.ptp(pitches) < 20
    assert 900 < pitches[0] < 1500


@pytest.mark.parametrize("seed", range(3))
def test_ambulance_alternates_between_two_pitches(seed):
    pitches = pitch_track(sound_of("Ambulance (siren)", 6, seed), 350, 900)
    is_high = pitches > (pitches.min() + pitches.max()) / 2
    assert 1.2 < np.median(pitches[is_high]) / np.median(pitches[~is_high]) < 1.45
    near = [np.abs(pitches / np.median(pitches[side]) - 1) < 0.02 for side in (is_high, ~is_high)]
    assert np.mean(near[0] | near[1]) > 0.85  # it jumps, it does not glide
    assert 5 <= np.count_nonzero(np.diff(is_high)) <= 15


@pytest.mark.parametrize("seed", range(3))
def test_police_car_wails_and_yelps(seed):
    pitches = pitch_track(sound_of("Police car (siren)", 9, seed), 500, 1750, seconds=0.04)
    assert pitches.max() / pitches.min() > 1.6
    seconds = pitches.reshape(-1, 25)
    turns = [np.count_nonzero(np.diff(np.sign(np.diff(second[:24].reshape(-1, 2).mean(1))))) for second in seconds]
    assert min(turns) <= 2  # wail: up or down for a second
    assert max(turns) >= 4  # yelp


@pytest.mark.parametrize("seed", range(3))
def test_civil_defense_siren_holds_a_minor_third_that_moves_slowly(seed):
    sound = sound_of("Civil defense siren", 10, seed)
    bins = 2  # in 1 Hz, of a quarter of a second eight times as long
    rings = []
    for piece in sound.reshape(40, -1):
        spectrum = np.abs(np.fft.rfft(piece * np.hanning(len(piece)), 8 * len(piece)))[: 650 * bins]
        peaks, _ = signal.find_peaks(spectrum, 0.5 * spectrum.max(), distance=30 * bins)
        rings.append(peaks[np.argsort(spectrum[peaks])[-2:]] / bins)
    low, high = np.sort(rings).T
    assert np.median(high / low) == pytest.approx(1.2, abs=0.01)
    assert np.mean(low > 0.97 * low.max()) > 0.35
    assert np.abs(np.diff(np.log2(low))).max() < 0.5  # octaves in a quarter of a second
    assert low.min() < 0.8 * low.max()


@pytest.mark.parametrize("seed", range(5))
def test_car_passing_by_comes_and_goes(seed):
    sound = sound_of("Car passing by", 3, seed)
    level = rms(sound, 0.1)
    assert 6 <= level.argmax() <= 24
    assert max(level[:2].max(), level[-2:].max()) < 0.7 * level.max()
    pitches = pitch_track(sound, 80, 200, seconds=0.5)
    assert 1.05 < pitches[0] / pitches[-1] < 1.25


def test_horns_of_trucks_are_lower_than_those_of_trains():
    for seed in range(3):
        assert pitch_track(sound_of("Air horn, truck horn", 1, seed), 90, 1000, 0.3)[0] < 260
        assert energy_above(sound_of("Train horn", 2, seed), 250) > 0.95


def test_bicycles_tick_higher_than_skateboards_rumble():
    for seed in range(3):
        assert energy_above(sound_of("Bicycle", 3, seed), 1800) > 0.9
        assert energy_above(sound_of("Skateboard", 3, seed), 1800) < 0.4


def test_buses_hiss_now_and_then():
    hiss = signal.sosfilt(signal.butter(4, 3000, "highpass", fs=SAMPLE_RATE, output="sos"), sound_of("Bus", 8))
    level = rms(hiss, 0.1)
    assert level.max() > 10 * np.percentile(level, 10)
