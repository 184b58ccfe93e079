import pytest

from training.data import load_source
from training.data.sources.recordings import add_background, add_recordings
from training.errors import DataError


@pytest.fixture
def words(tmp_path):
    """A dataset with the classes of a keyword spotter; the files are empty."""
    folder = tmp_path / "words"
    for name in ("_silence_", "_unknown_", "go", "stop", "_background_noise_"):
        (folder / name).mkdir(parents=True)
        for i in range(3):
            (folder / name / f"{i}_nohash_0.wav").touch()
    (folder / "validation_list.txt").write_text("go/0_nohash_0.wav\n_silence_/0_nohash_0.wav\n")
    (folder / "testing_list.txt").write_text("_unknown_/1_nohash_0.wav\n")
    return load_source("speech_commands", folder)


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_silence_and_unknown_are_classes(words):
    assert words.labels == ["_silence_", "_unknown_", "go", "stop"]
    assert len(words.splits["train"]) == 9 and len(words.background_noise) == 3


def test_recordings_become_a_split(words, tmp_path):
    folder = touch(tmp_path / "people", "go/a.wav", "bed/b.wav", "_background_noise_/c.wav", "testing_list.txt")
    clips = add_recordings(words, folder).splits["recordings"]
    assert {(clip.path.name, words.labels[clip.labels[0]]) for clip in clips} == {
        ("a.wav", "go"),
        ("b.wav", "_unknown_"),
        ("c.wav", "_silence_"),
    }
    assert "recordings" not in words.splits


def test_background_becomes_a_split_without_labels(words, tmp_path):
    folder = touch(tmp_path / "office", "monday/a.mp3", "b.flac", "notes.txt")
    clips = add_background(words, folder).splits["background"]
    assert [(clip.path.name, clip.labels) for clip in clips] == [("b.flac", ()), ("a.mp3", ())]


@pytest.mark.parametrize("add", [add_recordings, add_background])
def test_faulty_folders(words, tmp_path, add):
    with pytest.raises(DataError, match="is not a folder: give"):
        add(words, tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no (recordings of go, stop: lay it out|audio)"):
        add(words, touch(tmp_path / "others", "notes.txt"))
