"""
The folder that a run makes: it appears under its name once it is complete, never before.

NAME.unfinished/
    samplecnn-run.lock    locked by the run at work; it marks the folder as one that a run may empty and remove
    run.json              what was begun; while it is there, the run can be resumed
    checkpoint-0003/      everything that the next epoch depends on
    kept-0002/            the weights to keep
    model/                the complete model, which is about to become NAME/

Whatever is in it is written under a temporary name first, so that a run killed at any moment can go on.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from samplecnn_hf.files import write_file
from training.errors import RecipeError

MARK = "samplecnn-run.lock"
RESULTS = "results.json"
OF_A_RUN = {"recipe", "num_processes", "overwrite"}  # keys of run.json
OF_OUR_RESULTS = {"recipe", "history", "kept_epoch"}  # keys; they mark a finished model


class RunFolder:
    """The folder `output_dir` and the working folder beside it."""

    def __init__(self, output_dir: str):
        self.final = Path(output_dir).absolute()
        if not self.final.name or self.final.name == "..":
            raise RecipeError(f"--output_dir {output_dir} is no name for a new folder")
        self.work = self.final.with_name(self.final.name + ".unfinished")
        self.may_replace = False  # a finished model; `held` decides

    def kept(self, epoch: int) -> Path:
        return self.work / f"kept-{epoch:04d}"

    def checkpoint(self, epoch: int) -> Path:
        return self.work / f"checkpoint-{epoch:04d}"

    def last_checkpoint(self) -> Path | None:
        return max(self.work.glob("checkpoint-[0-9][0-9][0-9][0-9]"), default=None)

    @property
    def is_begun(self) -> bool:
        """Is there an interrupted run, which has finished an epoch or is to replace a model?"""
        something = self.last_checkpoint() is not None or os.path.lexists(self.final)
        return something and (self.work / "run.json").is_file()

    def begun(self) -> dict:
        """What `beginning` was given."""
        begun = _read_json(self.work / "run.json")
        if not OF_A_RUN <= begun.keys() or not isinstance(begun["recipe"], dict):
            raise _damaged(self.work / "run.json", "it does not tell of a run")
        return begun

    def results(self) -> dict | None:
        """Those of the finished model, if there is one."""
        path = self.final / RESULTS
        return _read_json(path) if path.is_file() else None

    @contextmanager
    def held(self, overwrite: bool, resume: bool, inputs: Iterable[str | None] = ()) -> Iterator[None]:
        """
        Keep other runs away from the folder, until the block ends or the process dies.

        Args:
            overwrite: whether a finished model may be replaced.
            resume: whether an interrupted run may be gone on with.
            inputs: folders and files that the run reads; they must not be where it writes.

        Raises:
            RecipeError: something is in the way that must not be touched; nothing was.
        """
        self._check_place(inputs)
        with self._locked():
            try:
                if (self.work / "model").exists():  # killed within `finish`
                    self._install()
                if self.is_begun and not resume and not overwrite:
                    raise RecipeError(f"{self.work} holds an interrupted run: --resume it, or --overwrite it")
                goes_on = resume and self.is_begun
                self.may_replace = overwrite or (goes_on and self.begun().get("overwrite", False))
                self._check_final(self.may_replace or (resume and not goes_on))
                yield
            finally:
                if not self.is_begun and not (self.work / "model").exists():
                    self._clear()
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
                f"another run is writing to {self.final}: wait for its end, or choose another --output_dir"
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
                if path is not None and _real(place) in (_real(path), *_real(path).parents):
                    raise RecipeError(f"{path} lies in {place}, which the run replaces: choose another --output_dir")
        for parent in _real(self.final).parents:
            if (parent / MARK).exists():
                raise RecipeError(f"{self.final} lies in the folder of another run: choose another --output_dir")
        if os.path.lexists(self.work) and not _is_folder_with(self.work, (self.work / MARK).is_file):
            raise RecipeError(_not_ours(self.work))

    def _check_final(self, may_be_there: bool):
        if not os.path.lexists(self.final):
            return
        if not may_be_there:
            raise RecipeError(f"{self.final} exists; choose another --output_dir, or --overwrite it")
        if not _is_folder_with(self.final, self._has_our_results):
            raise RecipeError(_not_ours(self.final))

    def _has_our_results(self) -> bool:
        results = self.results() or {}
        return results.keys() >= OF_OUR_RESULTS and isinstance(results["recipe"], dict)

    @contextmanager
    def beginning(self, what: dict) -> Iterator[None]:
        """
        Be the folder of a new run, told by `what`, in place of an interrupted one; only while the folder is held.

        An error within the block undoes that. An interruption does not: the new run can be resumed.
        """
        aside, run = self.work / "aside", self.work / "run.json"
        _remove(aside)
        earlier = self._content()
        aside.mkdir()
        for path in earlier:
            path.rename(aside / path.name)
        try:
            write_file(run, json.dumps({**what, "overwrite": self.may_replace}))
            yield
        except Exception:
            run.unlink(missing_ok=True)
            for path in reversed(earlier):
                (aside / path.name).rename(path)
            raise
        finally:
            _remove(aside)

    def _content(self) -> list[Path]:
        """What the working folder holds beside the mark; first of all what says that a run was begun."""
        paths = [path for path in self.work.iterdir() if path.name != MARK]
        return sorted(paths, key=lambda path: path.name != "run.json")

    def _clear(self, *but: str):
        for path in self._content():
            if path.name not in but:
                _remove(path)

    def write(self, target: Path, fill: Callable[[Path], None]):
        """Let `fill` make a folder, then give it its name. Raises `RecipeError` if it cannot be written."""
        temporary = self.work / "new"
        _remove(temporary)
        try:
            fill(temporary)
        except (OSError, SafetensorError) as error:
            _remove(temporary)
            raise _cannot_write(target, error, "make room, then go on with --resume") from error
        _remove(target)  # of an epoch that is run again
        temporary.rename(target)

    def keep_only(self, *kept: Path):
        """Remove all other folders of the working folder."""
        for path in self.work.iterdir():
            if path.is_dir() and path not in kept:
                _remove(path)

    def finish(self, fill: Callable[[Path], None]):
        """Let `fill` make the final folder, which takes the place of an earlier model."""
        self._check_final(self.may_replace)
        self.write(self.work / "model", fill)
        self._install()

    def _install(self):
        self._check_final(True)
        self._clear("model")
        try:
            if os.path.lexists(self.final):
                self.final.rename(self.work / "old")
            (self.work / "model").rename(self.final)
        except OSError as error:
            raise _cannot_write(self.final, error, f"the finished model is in {self.work / 'model'}") from error
        _remove(self.work / "old")


def _real(path: str | Path) -> Path:
    return Path(os.path.realpath(path))


def _is_folder_with(path: Path, mark: Callable[[], bool]) -> bool:
    """Is this a folder that has the mark, or nothing?"""
    return path.is_dir() and (mark() or not any(path.iterdir()))


def _not_ours(path: Path) -> str:
    return f"{path} was not made by a training run: move it away, or choose another --output_dir"


def _cannot_write(path: Path, error: Exception, advice: str) -> RecipeError:
    return RecipeError(f"cannot write to {path}: {getattr(error, 'strerror', None) or error}; {advice}")


def _remove(path: Path):
    """A file or link, or a folder with all that is in it; nothing where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise _damaged(path, error) from error
    if not isinstance(content, dict):
        raise _damaged(path, "it is no JSON object")
    return content


def _damaged(path: Path, reason: object) -> RecipeError:
    return RecipeError(f"{path} is damaged ({reason}): move it away, or choose another --output_dir")
