"""
The output folder of a run, which appears under its name when it is complete.

NAME.unfinished/
    samplecnn-run.lock    locked by the active run; marks the folder as one that a run may empty and remove
    run.json              description of the run; while it exists, the run can be resumed
    checkpoint-0003/      everything that the next epoch depends on
    kept-0002/            the weights to keep
    model/                the complete model, about to be renamed to NAME/

Everything is written under a temporary name first, so that a run that is killed at any time can be resumed.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from samplecnn_hf.files import replace_when_complete, write_file
from training.errors import RecipeError

MARK = "samplecnn-run.lock"
RUN_KEYS = {"recipe", "num_processes", "overwrite"}  # of run.json
RESULTS_KEYS = {"recipe", "history", "kept_epoch"}  # of results.json; they mark a finished model


class RunFolder:
    """The folder `output_dir` and the working folder next to it. Raises `RecipeError` for an invalid name."""

    def __init__(self, output_dir: str):
        self.final = Path(output_dir).absolute()
        if not self.final.name or self.final.name == "..":
            raise RecipeError(f"--output_dir {output_dir} is not a name for a new folder")
        self.work = self.final.with_name(self.final.name + ".unfinished")
        self.run_file = self.work / "run.json"
        self.may_replace = False  # a finished model; set by `held`

    def kept(self, epoch: int) -> Path:
        return self.work / f"kept-{epoch:04d}"

    def checkpoint(self, epoch: int) -> Path:
        return self.work / f"checkpoint-{epoch:04d}"

    def last_checkpoint(self) -> Path | None:
        return max(self.work.glob("checkpoint-[0-9][0-9][0-9][0-9]"), default=None)

    @property
    def is_interrupted(self) -> bool:
        """Whether there is an interrupted run that has finished an epoch or is to replace a model."""
        has_progress = self.last_checkpoint() is not None or os.path.lexists(self.final)
        return has_progress and self.run_file.is_file()

    def description(self) -> dict:
        """Description of the interrupted run, from `start`. Raises `RecipeError` if it is damaged."""
        return _read_json(self.run_file, RUN_KEYS)

    def results(self) -> dict | None:
        """Content of `results.json` of the finished model. None: there is no model. Raises as `description`."""
        path = self.final / "results.json"
        return _read_json(path, RESULTS_KEYS) if path.is_file() else None

    @contextmanager
    def held(self, overwrite: bool, resume: bool, inputs: Iterable[str | None] = ()) -> Iterator[None]:
        """
        Lock the folder until the block or the process ends.

        Args:
            overwrite: whether a finished model may be replaced.
            resume: whether an interrupted run may be resumed.
            inputs: folders and files that the run reads, which must not be in the output folder.

        Raises:
            RecipeError: the folder exists, is locked or was not created by a run. Nothing was changed.
        """
        self._check_place(inputs)
        with self._locked():
            try:
                if (self.work / "model").exists():  # the run was killed in `finish`
                    self._install()
                if self.is_interrupted and not resume and not overwrite:
                    raise RecipeError(f"{self.work} holds an interrupted run: --resume it, or --overwrite it")
                resumes = resume and self.is_interrupted
                self.may_replace = overwrite or (resumes and self.description().get("overwrite", False))
                self._check_final(self.may_replace or (resume and not resumes))
                yield
            finally:
                if not self.is_interrupted and not (self.work / "model").exists():
                    self.keep_only()
                    (self.work / MARK).unlink()
                    self.work.rmdir()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.work.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.work / MARK)
            lock.acquire(timeout=0)
        except Timeout as error:
            raise RecipeError(
                f"another run is writing to {self.final}: wait until it ends, or choose another --output_dir"
            ) from error
        except OSError as error:
            raise _cannot_write(self.work, error, "choose another --output_dir") from error
        try:
            yield
        finally:
            lock.release()

    def _check_place(self, inputs: Iterable[str | None]):
        for path in inputs:
            for place in (self.final, self.work):
                if path is not None and Path(path).resolve().is_relative_to(place.resolve()):
                    raise RecipeError(f"{path} is in {place}, which the run replaces: choose another --output_dir")
        for parent in self.final.resolve().parents:
            if (parent / MARK).exists():
                raise RecipeError(f"{self.final} is in the folder of another run: choose another --output_dir")
        _check_created_by_run(self.work, (self.work / MARK).is_file())

    def _check_final(self, may_be_there: bool):
        if os.path.lexists(self.final) and not may_be_there:
            raise RecipeError(f"{self.final} exists: choose another --output_dir, or --overwrite it")
        _check_created_by_run(self.final, self.results() is not None)

    @contextmanager
    def start(self, description: dict) -> Iterator[None]:
        """
        Start a new run instead of an interrupted one; the folder must be `held`.

        An error in the block undoes this. An interruption does not: the new run can be resumed.
        """
        aside = self.work / "aside"
        _remove(aside)
        earlier = self._content()
        aside.mkdir()
        for path in earlier:
            path.rename(aside / path.name)
        try:
            write_file(self.run_file, json.dumps({**description, "overwrite": self.may_replace}))
            yield
        except Exception:
            self.run_file.unlink(missing_ok=True)
            for path in reversed(earlier):
                (aside / path.name).rename(path)
            raise
        finally:
            _remove(aside)

    def _content(self) -> list[Path]:
        """Content of the working folder besides the mark; `run.json`, which makes it a run, is first."""
        paths = [path for path in self.work.iterdir() if path.name != MARK]
        return sorted(paths, key=lambda path: path != self.run_file)

    def keep_only(self, *kept: Path):
        """Remove all other files and folders of the working folder."""
        for path in self._content():
            if path not in kept:
                _remove(path)

    def write(self, target: Path, fill: Callable[[Path], None]):
        """Create the folder `target` by calling `fill`. Raises `RecipeError` if it cannot be written."""
        try:
            with replace_when_complete(target) as temporary:
                fill(temporary)
                _remove(target)  # of an epoch that is repeated
        except (OSError, SafetensorError) as error:
            raise _cannot_write(target, error, "fix this, then continue with --resume") from error

    def finish(self, fill: Callable[[Path], None]):
        """Create the final folder by calling `fill`, replacing an earlier model."""
        self._check_final(self.may_replace)
        self.write(self.work / "model", fill)
        self._install()

    def _install(self):
        self._check_final(True)
        model = self.work / "model"
        self.keep_only(model)
        try:
            if os.path.lexists(self.final):
                self.final.rename(self.work / "old")
            model.rename(self.final)
        except OSError as error:
            raise _cannot_write(self.final, error, f"the finished model is in {model}") from error
        _remove(self.work / "old")


def _check_created_by_run(path: Path, marked: bool):
    """Raise `RecipeError` if there is something else than a marked or an empty folder."""
    if os.path.lexists(path) and not (path.is_dir() and (marked or not any(path.iterdir()))):
        raise RecipeError(f"{path} was not created by a training run: move it away, or choose another --output_dir")


def _cannot_write(path: Path, error: Exception, advice: str) -> RecipeError:
    missing = f" ({error.filename})" if isinstance(error, FileNotFoundError) else ""
    return RecipeError(f"cannot write to {path}: {getattr(error, 'strerror', None) or error}{missing}; {advice}")


def _remove(path: Path):
    """Remove a file, a link or a folder with its content, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _read_json(path: Path, keys: set[str]) -> dict:
    """The description or the results of a run, with at least these keys."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and content.keys() >= keys and isinstance(content["recipe"], dict):
            return content
        reason = "it does not describe a run"
    except (ValueError, RecursionError) as error:
        reason = error
    raise RecipeError(f"{path} is damaged ({reason}): move it away, or choose another --output_dir")
