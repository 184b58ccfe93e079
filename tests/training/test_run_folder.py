from pathlib import Path

import pytest

from training.run_folder import RunFolder


def test_folder_appears_only_when_it_is_complete(tmp_path):
    folder = RunFolder(str(tmp_path / "run"))
    folder.open(overwrite=False, resume=False)

    def fail_half_way(path):
        path.mkdir()
        (path / "config.json").write_text("{}")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        folder.finish(fail_half_way)
    assert not folder.final.exists()

    def write(path):
        path.mkdir()
        (path / "config.json").write_text("whole")

    folder.finish(write)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert (folder.final / "config.json").read_text() == "whole"


def test_failed_writing_keeps_what_was_there(tmp_path):
    folder = RunFolder(str(tmp_path / "run"))
    folder.open(overwrite=False, resume=False)
    folder.write(folder.kept(1), lambda path: path.mkdir() or (path / "a").write_text("first"))

    def fail(path):
        path.mkdir()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        folder.write(folder.kept(1), fail)
    assert (folder.kept(1) / "a").read_text() == "first"


def test_only_the_newest_checkpoint_and_the_kept_model_stay(tmp_path):
    folder = RunFolder(str(tmp_path / "run"))
    folder.open(overwrite=False, resume=False)
    for path in (folder.kept(1), folder.kept(2), folder.checkpoint(9), folder.checkpoint(10)):
        folder.write(path, Path.mkdir)
    assert folder.last_checkpoint() == folder.checkpoint(10)
    folder.keep_only(folder.kept(2), folder.checkpoint(10))
    assert sorted(path.name for path in folder.work.iterdir()) == ["checkpoint-0010", "kept-0002"]
