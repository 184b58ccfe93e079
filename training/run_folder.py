"""The folder a run makes: it appears under its name once it is complete, never before."""

import shutil
from collections.abc import Callable
from pathlib import Path

from training.recipe import RecipeError


class RunFolder:
    """
    `NAME.unfinished/` holds the last checkpoint of a run and the model to be kept; `finish` turns it into `NAME/`.

    Whatever is in it is written under a temporary name first, so that a run killed at any moment can go on.
    """

    def __init__(self, output_dir: str):
        self.final = Path(output_dir).absolute()
        if not self.final.name or self.final.name == "..":
            raise RecipeError(f"--output_dir {output_dir} is no name for a new folder")
        self.work = self.final.with_name(self.final.name + ".unfinished")
        self.results = self.final / "results.json"

    def kept(self, epoch: int) -> Path:
        return self.work / f"kept-{epoch:04d}"

    def checkpoint(self, epoch: int) -> Path:
        return self.work / f"checkpoint-{epoch:04d}"

    def last_checkpoint(self) -> Path | None:
        return max(self.work.glob("checkpoint-[0-9]*"), default=None)

    def open(self, overwrite: bool, resume: bool):
        """Make the working folder. Raises `RecipeError` where something is in the way; see the messages."""
        if self.final.exists() and not overwrite:
            raise RecipeError(f"{self.final} exists; choose another --output_dir, or --overwrite it")
        if self.last_checkpoint() and not resume and not overwrite:
            raise RecipeError(f"{self.work} holds an interrupted run: --resume it, or --overwrite it")
        try:
            if self.work.exists() and not resume:
                shutil.rmtree(self.work)
            self.work.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecipeError(f"cannot write to {self.work}: {error.strerror}; choose another --output_dir") from error

    def close(self):
        """Remove the working folder of a run that failed before it had anything to keep."""
        if self.work.is_dir() and not any(self.work.iterdir()):
            self.work.rmdir()

    def write(self, target: Path, fill: Callable[[Path], None]):
        """Let `fill` make a folder, then give it its name."""
        temporary, old = self.work / "new", self.work / "old"
        for leftover in (temporary, old):
            shutil.rmtree(leftover, ignore_errors=True)
        fill(temporary)
        if target.exists():  # of an epoch that is run again, or to be overwritten
            target.rename(old)
        temporary.rename(target)

    def keep_only(self, *kept: Path):
        """Remove everything else in the working folder."""
        for path in self.work.iterdir():
            if path.is_dir() and path not in kept:
                shutil.rmtree(path)

    def finish(self, fill: Callable[[Path], None]):
        """Let `fill` make the final folder, and remove the working one."""
        self.write(self.final, fill)
        shutil.rmtree(self.work)
