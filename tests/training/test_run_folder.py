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


def test_failed_replacement_keeps_the_old_one(tmp_path):
    folder = RunFolder(str(tmp_path / "run"))
    folder.open(overwrite=False, resume=False)
    folder.replace(folder.best, lambda path: path.mkdir() or (path / "a").write_text("first"))

    def fail(path):
        path.mkdir()
        raise OSError("disk full")

    with pytest.raises(OSError):
        folder.replace(folder.best, fail)
    assert (folder.best / "a").read_text() == "first"
