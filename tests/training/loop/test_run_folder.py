import errno
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from safetensors import SafetensorError

from training.errors import RecipeError
from training.loop.run_folder import MARK, RunFolder

ROOT = Path(__file__).parents[3]
EPOCHS = 2


def model_of(name: str) -> Callable[[Path], None]:
    """Makes a folder that looks like a finished model."""

    def fill(path: Path):
        path.mkdir()
        (path / "model.safetensors").write_text(name)
        (path / "results.json").write_text(json.dumps({"recipe": {}, "history": [], "kept_epoch": 1, "name": name}))

    return fill


def run(folder: RunFolder, name: str, overwrite=False, resume=False, epochs=EPOCHS) -> str:
    """What train.py does with a folder; returns the name of the run whose model is there in the end."""
    with folder.held(overwrite, resume):
        resumed = resume and folder.is_interrupted
        if resume and not resumed and folder.results():
            return folder.results()["name"]
        if not resumed:
            with folder.start({"recipe": {"name": name}, "num_processes": 1}):
                pass
        assert folder.description()["recipe"] == {"name": name}
        last = folder.last_checkpoint()
        for epoch in range(int(last.name[-4:]) + 1 if last else 1, epochs + 1):
            folder.write(folder.kept(epoch), model_of(name))
            folder.write(folder.checkpoint(epoch), model_of(name))
            folder.keep_only(folder.run_file, folder.kept(epoch), folder.checkpoint(epoch))
        if epochs < EPOCHS:
            raise KeyboardInterrupt
        assert (folder.kept(EPOCHS) / "model.safetensors").read_text() == name
        folder.finish(model_of(name))
    return name


def interrupted(folder: RunFolder, name: str, epochs: int, **options):
    with pytest.raises(KeyboardInterrupt):
        run(folder, name, epochs=epochs, **options)


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return RunFolder(str(tmp_path / "run"))


def names(folder: RunFolder) -> list[str]:
    return sorted(path.name for path in folder.final.parent.iterdir())


# Complete or not at all


def test_folder_appears_only_when_it_is_complete(folder):
    def fail_half_way(path):
        path.mkdir()
        (path / "config.json").write_text("{}")
        full_disk()

    with folder.held(False, False), folder.start({"recipe": {}, "num_processes": 1}):
        with pytest.raises(RecipeError, match="No space left on device; fix this, then continue with --resume"):
            folder.finish(fail_half_way)
        assert not folder.final.exists() and not list(folder.work.glob(".*.unfinished"))
        folder.finish(model_of("whole"))
    assert names(folder) == ["run"] and folder.results()["name"] == "whole"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), SafetensorError("no space left")])
def test_failed_writing_keeps_what_was_there(folder, error):
    def fail(path):
        path.mkdir()
        raise error

    with folder.held(False, False):
        folder.write(folder.kept(1), model_of("first"))
        with pytest.raises(RecipeError, match="(?i)cannot write to .*kept-0001: .*no space left.*; fix this"):
            folder.write(folder.kept(1), fail)
        assert (folder.kept(1) / "model.safetensors").read_text() == "first"
        assert {path.name for path in folder.work.iterdir()} == {MARK, "kept-0001"}


def test_only_the_newest_checkpoint_and_the_kept_model_stay(folder):
    with folder.held(False, False):
        for path in (folder.kept(1), folder.kept(2), folder.checkpoint(9), folder.checkpoint(10)):
            folder.write(path, Path.mkdir)
        assert folder.last_checkpoint() == folder.checkpoint(10)
        folder.keep_only(folder.kept(2), folder.checkpoint(10))
        assert {path.name for path in folder.work.iterdir()} == {MARK, "checkpoint-0010", "kept-0002"}


# Killed at any moment

BEGUN = 12  # changes of the file system, at most, until a new run takes the place of an interrupted one


class Killed(BaseException):
    """The process is gone; nothing that it would still have done happens."""


@contextmanager
def killed_after(changes: float) -> Iterator[list]:
    """Within the block the file system can be changed so many times; tells what was done."""
    done = []

    def mortal(change):
        def maybe(*arguments, **keywords):
            if len(done) >= changes:
                raise Killed
            done.append(change)
            return change(*arguments, **keywords)

        return maybe

    with pytest.MonkeyPatch.context() as context:
        for name in ("mkdir", "rename", "replace", "rmdir", "unlink"):
            context.setattr(os, name, mortal(getattr(os, name)))
        context.setattr(Path, "write_bytes", mortal(Path.write_bytes))
        with suppress(Killed):
            yield done


@pytest.mark.parametrize("before", ["nothing", "a model", "an interrupted run", "both"])
def test_killed_at_any_moment_and_resumed(before, tmp_path):
    """The earlier model stays until the new one is complete, and --resume ends with the new one."""

    def begin_and_kill(folder: RunFolder, changes: float) -> list:
        if before in ("a model", "both"):
            run(folder, "old")
        if before in ("an interrupted run", "both"):
            interrupted(folder, "older", epochs=1, overwrite=True)
        with killed_after(changes) as done:
            run(folder, "new", overwrite=before != "nothing")
        return done

    moments = len(begin_and_kill(RunFolder(str(tmp_path / "whole")), math.inf))
    assert moments > 40
    for moment in range(moments):
        folder = RunFolder(str(tmp_path / f"run{moment}"))
        begin_and_kill(folder, moment)
        complete = [path for path in (folder.final, folder.work / "model") if (path / "results.json").is_file()]
        assert complete or before in ("nothing", "an interrupted run")
        goes_on = folder.description()["recipe"]["name"] if folder.is_interrupted else "new"
        assert goes_on == "new" or moment < BEGUN
        ended = run(folder, goes_on, resume=True)
        assert folder.results()["name"] == ended and not folder.work.exists()
        assert ended == goes_on or moment < BEGUN


@pytest.mark.parametrize("epochs", [0, 1])
def test_interrupted_overwriting_goes_on_with_the_new_run(folder, epochs):
    run(folder, "old")
    interrupted(folder, "new", epochs, overwrite=True)
    assert folder.results()["name"] == "old"
    with pytest.raises(RecipeError, match="unfinished holds an interrupted run: --resume it, or --overwrite it"):
        run(folder, "new")
    assert run(folder, "new", resume=True) == "new" and names(folder) == ["run"]
    assert run(folder, "new", resume=True) == "new"


def full_disk(*arguments, **keywords):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_run_that_cannot_begin_changes_nothing(folder, monkeypatch):
    def fail(**options):
        with pytest.raises(RecipeError, match="no such data"), folder.held(**options):
            with folder.start({"recipe": {"name": "bad"}, "num_processes": 1}):
                raise RecipeError("no such data")

    fail(overwrite=False, resume=False)
    assert names(folder) == []
    run(folder, "old")
    fail(overwrite=True, resume=False)
    assert names(folder) == ["run"] and folder.results()["name"] == "old"
    interrupted(folder, "new", 1, overwrite=True)
    fail(overwrite=True, resume=False)
    with monkeypatch.context() as context, pytest.raises(OSError), folder.held(True, False):
        context.setattr(Path, "write_bytes", full_disk)
        with folder.start({"recipe": {"name": "bad"}, "num_processes": 1}):
            pass
    assert folder.last_checkpoint() == folder.checkpoint(1)
    assert run(folder, "new", resume=True) == "new"


def test_a_model_that_appears_while_another_is_trained_is_not_replaced(folder):
    with folder.held(False, False), folder.start({"recipe": {}, "num_processes": 1}):
        model_of("other")(folder.final)
        with pytest.raises(RecipeError, match="exists: choose another --output_dir, or --overwrite it"):
            folder.finish(model_of("mine"))
    assert folder.results()["name"] == "other"


# What is not ours


def precious(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "data.wav").write_text("precious")
    return path


FOREIGN = {
    "folder": precious,
    "file": lambda path: path.write_text("precious"),
    "link": lambda path: path.symlink_to(precious(path.with_name("elsewhere"))),
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "results of something else": lambda path: (precious(path) / "results.json").write_text('{"history": []}'),
    "results that are none": lambda path: (precious(path) / "results.json").write_text("[[["),
    "cross-validation": lambda path: (precious(path) / "results.json").write_text('{"recipe": {}, "folds": {}}'),
}


def snapshot(folder: Path) -> dict:
    return {
        str(path.relative_to(folder)): path.readlink() if path.is_symlink() else path.is_file() and path.read_bytes()
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("name", ["run", "run.unfinished"])
@pytest.mark.parametrize("make", FOREIGN.values(), ids=list(FOREIGN))
def test_what_no_run_has_made_is_never_removed(folder, make, name, resume):
    make(folder.final.with_name(name))
    before = snapshot(folder.final.parent)
    with pytest.raises(RecipeError, match=f"{name}.* (was not created by a training run|is damaged .*): move it away"):
        run(folder, "new", overwrite=True, resume=resume)
    with pytest.raises(RecipeError, match=f"{name}.* (exists: choose another --output_dir|was not created by)"):
        run(folder, "new")
    assert snapshot(folder.final.parent) == before


def test_empty_folders_and_links_to_models(folder, tmp_path):
    folder.final.mkdir()
    folder.work.mkdir()
    with pytest.raises(RecipeError, match="run exists"):
        run(folder, "new")
    assert run(folder, "new", overwrite=True) == "new"
    folder.final.rename(tmp_path / "on another disk")
    folder.final.symlink_to("on another disk")
    assert run(folder, "newer", overwrite=True) == "newer"
    assert json.loads((tmp_path / "on another disk" / "results.json").read_text())["name"] == "new"


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "results").glob("*.json")), ids=lambda path: path.stem)
def test_models_of_earlier_versions_can_be_replaced(folder, path):
    if "folds" in json.loads(path.read_text()):
        pytest.skip("the summary of a cross-validation is no model")
    folder.final.mkdir()
    (folder.final / "results.json").write_bytes(path.read_bytes())
    assert run(folder, "new", overwrite=True) == "new"


@pytest.mark.parametrize("place", ["run", "run/data", "run.unfinished", "run.unfinished/a/b", "link", "link/data"])
@pytest.mark.parametrize("there", [False, True])
def test_data_where_a_run_writes(folder, tmp_path, place, there):
    (tmp_path / "link").symlink_to("run", target_is_directory=True)
    if there:
        (tmp_path / "run").mkdir()
        precious(tmp_path / "run" / "data")
        precious(tmp_path / "run.unfinished" / "a" / "b")
    before = snapshot(tmp_path)
    with pytest.raises(RecipeError, match="which the run replaces: choose another --output_dir"):
        with folder.held(True, False, [None, str(tmp_path / "other"), str(tmp_path / place)]):
            pass
    assert snapshot(tmp_path) == before


def test_a_folder_within_that_of_another_run(folder):
    interrupted(folder, "new", 1)
    inner = RunFolder(str(folder.work / "inner"))
    with pytest.raises(RecipeError, match="inner is in the folder of another run: choose another --output_dir"):
        run(inner, "inner")
    assert run(folder, "new", resume=True) == "new"


@pytest.mark.parametrize("name", ["/", "..", "a/.."])
def test_names_that_are_none(name):
    with pytest.raises(RecipeError, match="is not a name for a new folder"):
        RunFolder(name)


# Two at once

HOLD = """
import sys
from training.loop.run_folder import RunFolder
with RunFolder(sys.argv[1]).held(False, False):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_second_run_is_told_and_the_lock_goes_with_the_process(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder.final)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "held\n"
        for options in ((False, False), (True, False), (False, True)):
            with pytest.raises(RecipeError, match="another run is writing to .*run: wait until it ends, or choose"):
                with folder.held(*options):
                    pass
    finally:
        process.kill()
        process.communicate()
    assert folder.work.exists()
    assert run(folder, "new") == "new" and names(folder) == ["run"]


# Damage


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "{", '{"recipe": 1, "num_processes": 1, "overwrite": true}', "[" * 9999]
)
def test_damaged_description_of_a_run(folder, content):
    interrupted(folder, "new", 1)
    (folder.work / "run.json").write_text(content)
    with pytest.raises(RecipeError, match="run.json is damaged .*: move it away, or choose another --output_dir"):
        run(folder, "new", resume=True)
    assert run(folder, "new", overwrite=True) == "new"
