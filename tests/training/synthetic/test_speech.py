import sys

import numpy as np
import pytest
import soundfile

from training.data import load_source
from training.errors import DataError
from training.synthetic import speech
from training.synthetic.speech import write_spoken_commands
from training.synthetic.voices import debian

pytest.importorskip("espeakng_loader")

NUM_VOICES, WORDS, TAKES = 40, ("stop", "go"), 2


@pytest.fixture(scope="module")
def spoken_dir(tmp_path_factory):
    output_dir = tmp_path_factory.mktemp("spoken") / "words"
    write_spoken_commands(output_dir, WORDS, NUM_VOICES, TAKES, num_workers=1)
    return output_dir


def read_all(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}


def test_reads_back_through_the_loader(spoken_dir):
    source = load_source("speech_commands", spoken_dir)
    assert source.labels == ["go", "stop"]
    assert set(source.splits) == {"train", "validation", "test"}
    assert sum(map(len, source.splits.values())) == NUM_VOICES * len(WORDS) * TAKES
    assert len(source.background_noise) == 5


def test_speakers_do_not_cross_splits(spoken_dir):
    splits = load_source("speech_commands", spoken_dir).splits
    speakers = [{clip.path.name.split("_nohash_")[0] for clip in clips} for clips in splits.values()]
    assert len(set.union(*speakers)) == sum(map(len, speakers)) == NUM_VOICES


def test_clips_are_one_second_of_audible_unclipped_speech(spoken_dir):
    for path in spoken_dir.glob("[a-z]*/*.wav"):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.frames, info.subtype) == (16_000, 1, 16_000, "PCM_16")
        clip, _ = soundfile.read(path)
        assert 0.09 < np.abs(clip).max() < 0.9
        heard = np.flatnonzero(np.abs(clip) > 0.01 * np.abs(clip).max())
        assert 0.1 < (heard[-1] - heard[0]) / 16_000 < 0.99
        assert 0.35 < (heard[-1] + heard[0]) / 2 / 16_000 < 0.65


def test_no_two_clips_are_alike(spoken_dir):
    clips = [path.read_bytes() for path in spoken_dir.glob("[a-z]*/*.wav")]
    assert len(set(clips)) == len(clips)


def test_noises_are_ten_seconds_without_clipping(spoken_dir):
    for path in (spoken_dir / "_background_noise_").iterdir():
        noise, sample_rate = soundfile.read(path)
        assert (sample_rate, noise.shape) == (16_000, (160_000,))
        assert np.sqrt(np.mean(noise**2)) == pytest.approx(0.05, rel=0.01)
        assert np.abs(noise).max() < 0.9


def test_files_do_not_depend_on_the_number_of_workers(spoken_dir, tmp_path):
    write_spoken_commands(tmp_path / "words", WORDS, NUM_VOICES, TAKES, num_workers=2)
    assert read_all(tmp_path / "words") == read_all(spoken_dir)


def test_seed_changes_the_files(spoken_dir, tmp_path):
    write_spoken_commands(tmp_path / "words", ("go",), NUM_VOICES, seed=1)
    first, other = read_all(spoken_dir), read_all(tmp_path / "words")
    assert not {name for name in other if name.endswith(".wav") and other[name] == first.get(name)}


def test_vocoded_speakers_are_further_speakers(spoken_dir, tmp_path):
    pytest.importorskip("pyworld")
    if not debian.installed_voices():
        pytest.skip(f"needs {debian.INSTALL}")
    for num_workers in (1, 2):
        output_dir = tmp_path / str(num_workers)
        write_spoken_commands(output_dir, WORDS, NUM_VOICES, TAKES, num_workers=num_workers, num_vocoded=8)
    files, espeak = read_all(tmp_path / "1"), read_all(spoken_dir)
    assert files == read_all(tmp_path / "2")
    spoken = {name for name in files if name.endswith(".wav")}
    assert len(spoken - espeak.keys()) == 8 * len(WORDS) * TAKES
    assert all(files[name] == espeak[name] for name in espeak if name.endswith(".wav"))
    splits = load_source("speech_commands", tmp_path / "1").splits
    assert sum(map(len, splits.values())) == (NUM_VOICES + 8) * len(WORDS) * TAKES
    assert not any(np.isnan(soundfile.read(tmp_path / "1" / name)[0]).any() for name in spoken)


def test_vocoded_speakers_without_their_voices(tmp_path, monkeypatch):
    pytest.importorskip("pyworld")
    monkeypatch.setattr(debian, "installed_voices", list)
    with pytest.raises(DataError, match="^num_vocoded needs flite or festival, which are not installed"):
        write_spoken_commands(tmp_path / "words", ("go",), NUM_VOICES, num_vocoded=8)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_voices": 0}, "num_voices must be from 1 to"),
        ({"num_voices": 10_000}, "num_voices must be from 1 to"),
        ({"num_voices": 1}, "increase num_voices"),
        ({"takes": 0}, "takes must be at least 1"),
        ({"num_workers": 0}, "num_workers must be at least 1"),
        ({"num_vocoded": -1}, "num_vocoded must be at least 0"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"words": ()}, "words must be"),
        ({"words": ("go", "go")}, "words must be"),
        ({"words": ("../go",)}, "words must be"),
    ],
)
def test_faulty_arguments(tmp_path, arguments, message):
    with pytest.raises(DataError, match=message):
        write_spoken_commands(tmp_path / "words", **arguments)
    assert not list(tmp_path.iterdir())


def test_missing_espeakng_loader(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(DataError, match=r'pip install "samplecnn-hf\[synthetic\]"'):
        write_spoken_commands(tmp_path / "words")


def test_command_line_leaves_an_existing_folder_alone(tmp_path):
    with pytest.raises(SystemExit, match="^error: .* already exists: delete it or choose another output_dir$"):
        speech.main(["--output_dir", str(tmp_path)])
    assert not list(tmp_path.iterdir())
