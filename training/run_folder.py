"""The folder a run makes: it appears under its name once it is complete, never before."""

import shutil
from collections.abc import Callable
from pathlib import Path

from training.recipe import RecipeError


class RunFolder:
    """
    `NAME.unfinished/` holds the checkpoints of a run and its best model so far; `finish` turns it into `NAME/`.

    Everything is written under a temporary name first, so a run that is killed leaves nothing half-written behind a
    final name.
    """

    def __init__(self, output_dir: str):
        self.final = Path(output_dir)
        self.work = self.final.with_name(self.final.name + ".unfinished")
        self.best = self.work / "best"

    def open(self, overwrite: bool, resume: bool):
        """Make the working folder. Raises `RecipeError` where something is in the way; see the messages."""
        if self.final.exists() and not overwrite:
            raise RecipeError(f"{self.final} exists; choose another --output_dir, or --overwrite it")
        if self.work.exists() and not resume:
            if self.checkpoints() and not overwrite:
                raise RecipeError(f"{self.work} holds an interrupted run: --resume it, or --overwrite it")
            shutil.rmtree(self.work)
        try:
            self.work.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecipeError(f"cannot write to {self.work}: {error.strerror}; choose another --output_dir") from error

    def close(self):
        """Remove the working folder of a run that failed before it had anything to keep."""
        if self.work.is_dir() and not any(self.work.iterdir()):
            self.work.rmdir()

    def replace(self, target: Path, write: Callable[[Path], None]):
        """Let `write` fill a new folder, then put it where `target` is."""
        new, old = self.work / "new", self.work / "old"
        for folder in (new, old):
            shutil.rmtree(folder, ignore_errors=True)
        write(new)
        if target.exists():
            target.rename(old)
        new.rename(target)
        shutil.rmtree(old, ignore_errors=True)

    def checkpoint(self, epoch: int) -> Path:
        return self.work / f"checkpoint-{epoch:04d}"

    def checkpoints(self) -> list[Path]:
        """Finished checkpoints, oldest first."""
        return sorted(self.work.glob("checkpoint-[0-9]*"))

    def drop_old_checkpoints(self):
        for checkpoint in self.checkpoints()[:-1]:
            shutil.rmtree(checkpoint)

    def finish(self, write: Callable[[Path], None]):
        """Let `write` fill the final folder, and remove the working one."""
        self.replace(self.final, write)
        shutil.rmtree(self.work)
