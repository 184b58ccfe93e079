import argparse

import pytest

from training.data.source import SYNTHETIC_MARK
from training.errors import DataError
from training.synthetic.output import check_at_least, new_folder, run_command, run_in_parallel


def test_folder_appears_when_it_is_complete(tmp_path):
    with new_folder(tmp_path / "made" / "data") as folder:
        assert not (tmp_path / "made" / "data").exists()
        (folder / "made.txt").touch()
    assert {path.name for path in (tmp_path / "made" / "data").iterdir()} == {SYNTHETIC_MARK, "made.txt"}
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["data"]


def test_interrupted_folder_is_removed(tmp_path):
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "data") as folder:
        (folder / "half.txt").touch()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_existing_folders_and_links_are_left_alone(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("data", "link"):
        with pytest.raises(DataError, match=f"{name} already exists"), new_folder(tmp_path / name):
            pass
    assert (tmp_path / "link").is_symlink() and list((tmp_path / "data").iterdir()) == []


def test_limits():
    check_at_least(seed=(0, 0), num_clips=(20, 16))
    with pytest.raises(DataError, match="num_clips must be at least 16; got 15"):
        check_at_least(seed=(0, 0), num_clips=(15, 16))


def test_every_job_is_done(tmp_path):
    run_in_parallel([(tmp_path / name).touch for name in "abc"], num_workers=2, desc="Writing")
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b", "c"}


def test_command(capsys):
    def write(output_dir, seed, num_workers, takes):
        if takes < 1:
            raise DataError("takes must be at least 1")

    def run(*options):
        parser = argparse.ArgumentParser()
        parser.add_argument("--takes", type=int, default=1)
        run_command(write, parser, ["--output_dir=data", *options])

    run()
    assert capsys.readouterr().out == "Wrote data\n"
    with pytest.raises(SystemExit, match="^error: takes must be at least 1$"):
        run("--takes=0")
