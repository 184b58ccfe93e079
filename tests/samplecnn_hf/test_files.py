import errno
import os
import resource
from contextlib import contextmanager

import pytest

from samplecnn_hf.files import replace_when_complete, write_file


@contextmanager
def full_disk():
    """No file, pytest's own output included, can grow beyond 1,000 bytes: keep the block short."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_new_and_replaced(tmp_path):
    path = tmp_path / "file"
    for content in ("café", b"\0bytes"):
        assert write_file(path, content) == path
        assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert os.listdir(tmp_path) == ["file"]
    (tmp_path / "plain").write_text("")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode  # the user's umask


def test_links_are_replaced_and_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").symlink_to(outside)
    write_file(tmp_path / "folder" / "file", "new")
    assert outside.read_text() == "mine"
    assert not (tmp_path / "folder" / "file").is_symlink()


@pytest.mark.parametrize("before", [None, "the one before"])
def test_full_disk_leaves_what_was_there(tmp_path, before):
    if before:
        (tmp_path / "file").write_text(before)
    with pytest.raises(OSError) as error, full_disk():
        write_file(tmp_path / "file", bytes(5000))
    assert error.value.errno == errno.EFBIG
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == ({"file": before} if before else {})


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_file(tmp_path / "nowhere" / "file", "")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_folder_appears_when_it_is_complete(tmp_path, error):
    def make():
        folder.mkdir()
        (folder / "weights").touch()
        assert not (tmp_path / "run").exists() and folder.name == "run"

    with pytest.raises(error), replace_when_complete(tmp_path / "run") as folder:
        make()
        raise error
    assert os.listdir(tmp_path) == []
    with replace_when_complete(tmp_path / "run") as folder:
        make()
    assert os.listdir(tmp_path) == ["run"] and os.listdir(tmp_path / "run") == ["weights"]
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "run").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_folder_with_files_is_not_replaced(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").touch()
    with pytest.raises(OSError), replace_when_complete(tmp_path / "run") as folder:
        folder.mkdir()
    assert os.listdir(tmp_path) == ["run"] and os.listdir(tmp_path / "run") == ["mine"]
