import re
from collections import Counter

import numpy as np
import pytest
import soundfile
from scipy import signal

from training.data import load_source
from training.data.source import SYNTHETIC_MARK
from training.data.sources.dcase2017 import LABELS
from training.errors import DataError
from training.synthetic import scenes
from training.synthetic.scene_sounds import SAMPLE_RATE, SOUNDS, make_sound
from training.synthetic.scenes import NUM_CLIPS, Scene, render_scene, write_scenes

FEW_CLIPS, SHORT = 140, 0.25  # clips; seconds of each


@pytest.fixture(scope="module")
def small_dir(tmp_path_factory):
    output_dir = tmp_path_factory.mktemp("scenes") / "small"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "CLIP_SECONDS", SHORT)
        return write_scenes(output_dir, FEW_CLIPS, num_workers=1)


@pytest.fixture
def source_without_audio(tmp_path, monkeypatch):
    monkeypatch.setattr(scenes, "_render_all", lambda *arguments: None)
    return lambda **arguments: load_source("dcase2017", write_scenes(tmp_path / "scenes", **arguments))


def read_all(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}


# The data set


@pytest.mark.parametrize("seed", range(3))
def test_default_size_divides_well(source_without_audio, seed):
    splits = source_without_audio(seed=seed).splits
    parts = {split: len(clips) / NUM_CLIPS for split, clips in splits.items()}
    assert parts["train"] == pytest.approx(0.7, abs=0.02)
    assert 0.08 <= parts["validation"] <= 0.105
    assert parts["test"] == pytest.approx(0.2, abs=0.002)
    for split, least in (("train", 25), ("validation", 4), ("test", 9)):
        counts = Counter(label for clip in splits[split] for label in clip.labels)
        assert set(counts) == set(range(len(LABELS)))
        assert min(counts.values()) >= least


def test_scenes_have_one_to_three_labels(source_without_audio):
    counts = Counter(len(clip.labels) for clips in source_without_audio().splits.values() for clip in clips)
    assert set(counts) == {1, 2, 3}
    assert counts[1] > counts[2] > counts[3]
    assert counts.total() == NUM_CLIPS


def test_names_are_those_of_cut_videos(source_without_audio):
    names = [clip.path.name for clips in source_without_audio().splits.values() for clip in clips]
    for name in names:
        start, end = map(float, re.fullmatch(r"Y[A-Za-z0-9_-]{11}_(\d+\.000)_(\d+\.000)\.wav", name).groups())
        assert end - start == 10
    assert len(set(names)) == NUM_CLIPS


def test_audio_is_there_for_every_row(small_dir):
    clips = [clip for split in load_source("dcase2017", small_dir).splits.values() for clip in split]
    assert {clip.path for clip in clips} == set(small_dir.rglob("*.wav"))
    assert len(clips) == FEW_CLIPS
    for clip in clips:
        info = soundfile.info(clip.path)
        assert (info.samplerate, info.channels, info.subtype) == (SAMPLE_RATE, 1, "PCM_16")
        assert info.frames == SHORT * SAMPLE_RATE


def test_no_two_clips_are_alike(small_dir):
    contents = [path.read_bytes() for path in small_dir.rglob("*.wav")]
    assert len(set(contents)) == len(contents)


def test_files_do_not_depend_on_the_number_of_workers(small_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(scenes, "CLIP_SECONDS", SHORT)
    again = write_scenes(tmp_path / "scenes", FEW_CLIPS, num_workers=2)
    assert read_all(again) == read_all(small_dir)


def test_seed_changes_the_files(small_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(scenes, "CLIP_SECONDS", SHORT)
    other = read_all(write_scenes(tmp_path / "scenes", FEW_CLIPS, seed=1))
    assert set(other.values()) & set(read_all(small_dir).values()) == {other[SYNTHETIC_MARK]}


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_clips": 0}, "num_clips must be at least 1"),
        ({"num_clips": 100}, "increase num_clips"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"num_workers": 0}, "num_workers must be at least 1"),
    ],
)
def test_faulty_arguments(tmp_path, arguments, message):
    with pytest.raises(DataError, match=message):
        write_scenes(tmp_path / "scenes", **arguments)
    assert not list(tmp_path.iterdir())


def test_interruption_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(scenes, "_render_all", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_scenes(tmp_path / "scenes")
    assert not list(tmp_path.iterdir())


def test_command_line_leaves_an_existing_folder_alone(tmp_path):
    with pytest.raises(SystemExit, match="^error: .* already exists: delete it or choose another output_dir$"):
        scenes.main(["--output_dir", str(tmp_path)])
    assert not list(tmp_path.iterdir())


# A scene


def render(labels, seed):
    return render_scene(Scene("training", "a.wav", 30, 32, labels), np.random.default_rng(seed))


def test_mixtures_do_not_clip():
    for seed, labels in enumerate([("Truck", "Car", "Bus"), ("Screaming",), ("Train", "Train horn")]):
        clip = render(labels, seed)
        assert clip.shape == (2 * SAMPLE_RATE,)
        assert 0.17 < np.abs(clip).max() < 0.9


def test_every_sound_is_heard_in_its_scene(monkeypatch):
    asked = []
    monkeypatch.setattr(
        scenes, "make_sound", lambda label, *arguments: asked.append(label) or make_sound(label, *arguments)
    )
    render(("Truck", "Reversing beeps", "Bus"), seed=0)
    assert asked == ["Truck", "Reversing beeps", "Bus"]


@pytest.mark.parametrize("seed", range(5))
def test_sounds_last_most_of_the_clip(seed):
    shrill = signal.sosfilt(
        signal.butter(4, 1200, "highpass", fs=SAMPLE_RATE, output="sos"), render(["Car alarm"], seed)
    )
    level = rms(shrill, 0.1)
    assert np.mean(level > 0.3 * level.max()) > 0.5


# The sounds


def sound_of(label, seconds, seed=0):
    return make_sound(label, np.random.default_rng(seed), int(seconds * SAMPLE_RATE))


def rms(sound, seconds):
    """The level of each consecutive piece of so many seconds."""
    length = int(seconds * SAMPLE_RATE)
    return np.sqrt(np.mean(sound[: len(sound) // length * length].reshape(-1, length) ** 2, axis=1))


def pitch_track(sound, low, high, seconds=0.1):
    """The strongest frequency between `low` and `high` of each consecutive piece, in Hz."""
    length = int(seconds * SAMPLE_RATE)
    pieces = sound[: len(sound) // length * length].reshape(-1, length) * np.hanning(length)
    spectrum = np.abs(np.fft.rfft(pieces, 8 * length))
    frequencies = np.fft.rfftfreq(8 * length, 1 / SAMPLE_RATE)
    inside = (low <= frequencies) & (frequencies <= high)
    return frequencies[inside][spectrum[:, inside].argmax(axis=1)]


def energy_above(sound, frequency):
    """The part of the energy above `frequency`."""
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
    assert (rms(sound, 1.0) > 0.003).all()  # heard in each of the segments that a network hears
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
