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
from training.synthetic.scene_sounds import SAMPLE_RATE, make_sound
from training.synthetic.scenes import NUM_CLIPS, Scene, render_scene, write_scenes

FEW_CLIPS, SHORT = 140, 0.25  # clips; seconds of each


@pytest.fixture(scope="module")
def small_dir(tmp_path_factory):
    output_dir = tmp_path_factory.mktemp("scenes") / "small"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "CLIP_SECONDS", SHORT)
        write_scenes(output_dir, FEW_CLIPS, num_workers=1)
    return output_dir


@pytest.fixture
def source_without_audio(tmp_path, monkeypatch):
    monkeypatch.setattr(scenes, "run_in_parallel", lambda *arguments: None)

    def load(**arguments):
        write_scenes(tmp_path / "scenes", **arguments)
        return load_source("dcase2017", tmp_path / "scenes")

    return load


def read_all(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}


# The dataset


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
    write_scenes(tmp_path / "scenes", FEW_CLIPS, num_workers=2)
    assert read_all(tmp_path / "scenes") == read_all(small_dir)


def test_seed_changes_the_files(small_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(scenes, "CLIP_SECONDS", SHORT)
    write_scenes(tmp_path / "scenes", FEW_CLIPS, seed=1)
    other = read_all(tmp_path / "scenes")
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


def test_every_label_is_in_the_scene(monkeypatch):
    made = []
    monkeypatch.setattr(
        scenes, "make_sound", lambda label, *arguments: made.append(label) or make_sound(label, *arguments)
    )
    render(("Truck", "Reversing beeps", "Bus"), seed=0)
    assert made == ["Truck", "Reversing beeps", "Bus"]


@pytest.mark.parametrize("seed", range(5))
def test_sounds_last_most_of_the_clip(seed):
    alarm = signal.sosfilt(
        signal.butter(4, 1200, "highpass", fs=SAMPLE_RATE, output="sos"), render(["Car alarm"], seed)
    )
    pieces = alarm[: len(alarm) // 4410 * 4410].reshape(-1, 4410)
    level = np.sqrt(np.mean(pieces**2, axis=1))
    assert np.mean(level > 0.3 * level.max()) > 0.5
