import io
import sys

import fsspec
import pytest

from samplecnn_hf.cli.inputs import find_files, open_audio


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
    with pytest.raises(OSError, match="^no audio found in .*: give files, folders or patterns"):
        find_files(["sounds", path])


def test_remote_files():
    storage = fsspec.filesystem("memory")
    for name in ("/sounds/b.wav", "/sounds/deep/a.flac", "/sounds/notes.txt"):
        storage.pipe(name, name.encode())
    audio = ["memory:///sounds/b.wav", "memory:///sounds/deep/a.flac"]
    try:
        assert find_files(["memory://sounds"]) == find_files(["memory://sounds/**/*.[wf]*"]) == audio
        assert find_files(["memory://nowhere.wav"]) == ["memory://nowhere.wav"]
        assert open_audio(audio[1]).read() == b"/sounds/deep/a.flac"
        with pytest.raises(OSError, match="^no audio found in memory://sounds/[*].mp3"):
            find_files(["memory://sounds/*.mp3"])
    finally:
        storage.rm("/sounds", recursive=True)


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"RIFF")))
    file = open_audio("-")
    assert file.seek(0) == 0 and file.read() == b"RIFF"
    assert open_audio("a.wav") == "a.wav"
