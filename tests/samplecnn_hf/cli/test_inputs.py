import io
import sys

import pytest

from samplecnn_hf.cli.inputs import find_files, open_standard_input


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.wav", "a.MP3", "notes.txt", ".hidden.wav", "deep/er/c.m4a", "odd[1].wav"):
        path = tmp_path / "sounds" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        (["sounds"], ["sounds/a.MP3", "sounds/b.wav", "sounds/deep/er/c.m4a", "sounds/odd[1].wav"]),
        (["sounds/notes.txt", "nowhere.wav"], ["sounds/notes.txt", "nowhere.wav"]),  # whoever reads them complains
        (["sounds/**/*.[mw]*"], ["sounds/b.wav", "sounds/deep/er/c.m4a", "sounds/odd[1].wav"]),
        (["sounds/odd[1].wav"], ["sounds/odd[1].wav"]),  # a file before a pattern
        (["sounds/b.wav", "sounds/*.wav", "sounds/b.wav"], ["sounds/b.wav", "sounds/odd[1].wav"]),
        (["-", "http://example.org/a.wav?x=[1]"], ["-", "http://example.org/a.wav?x=[1]"]),
    ],
)
def test_find_files(folder, paths, found):
    assert find_files(paths) == found


@pytest.mark.parametrize("path", ["empty", "sounds/*.ogg"])
def test_no_audio(folder, path):
    with pytest.raises(OSError, match="^there is no audio in .*: give files, folders or patterns"):
        find_files(["sounds", path])


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"RIFF")))
    file = open_standard_input("-")
    assert file.seek(0) == 0 and file.read() == b"RIFF"
    assert open_standard_input("a.wav") == "a.wav"
