"""
The learning rate and the best epoch, as functions of the epochs so far: to resume a run takes nothing but its history.

With the schedule `plateau` the epochs between two cuts of the learning rate are a stage.
"""

import math
from itertools import chain

from training.recipe import Recipe


class Schedule:
    """
    Args:
        recipe: its options of the optimisation.
        metric: the task's, a key of the validation scores.
        steps_per_epoch: in each process.

    A history is a list with one record per epoch: `epoch`, counted from 1, and the scores in `validation`.
    """

    def __init__(self, recipe: Recipe, metric: str, steps_per_epoch: int):
        self.recipe, self.metric, self.steps_per_epoch = recipe, metric, steps_per_epoch

    def best(self, history: list[dict]) -> dict:
        """The best epoch so far; with `plateau_reload` the best of the last stage, as in the authors' code."""
        stages = [stage for stage in self.stages(history) if stage]
        return max(stages[-1] if self.recipe.plateau_reload else history, key=self._rank)

    def kept(self, history: list[dict]) -> dict:
        """The epoch whose weights are kept."""
        return history[-1] if self.recipe.keep == "last" else self.best(history)

    def _rank(self, record: dict) -> tuple[float, ...]:
        scores = record["validation"]
        if self.recipe.monitor == "metric":
            return scores.get(self.metric, 0.0), -scores["loss"]
        return (-scores[self.recipe.monitor],)

    def stages(self, history: list[dict]) -> list[list[dict]]:
        """The epochs of each learning rate. The last stage goes on; right after a cut it is empty."""
        if self.recipe.schedule != "plateau":
            return [history]
        stages = [[]]
        for record in history:
            stages[-1].append(record)
            compared = stages[-1] if self.recipe.plateau_reload else list(chain(*stages))
            stalled = record["epoch"] - max(compared, key=self._rank)["epoch"]
            if min(stalled, len(stages[-1])) >= self.recipe.plateau_patience:
                stages.append([])
        return stages

    def is_cut(self, history: list[dict]) -> bool:
        """Did the last epoch end a stage?"""
        return not self.stages(history)[-1]

    def learning_rates(self, history: list[dict]) -> list[float]:
        """The learning rate of each step of the next epoch."""
        if self.recipe.schedule == "cosine":
            first = len(history) * self.steps_per_epoch
            return [self._cosine(first + step) for step in range(self.steps_per_epoch)]
        first = len(self.stages(history)[-1]) * self.steps_per_epoch
        decay, rate = self.recipe.learning_rate_decay, self._plateau(history)
        return [rate / (1 + decay * (first + step)) for step in range(self.steps_per_epoch)]

    def _cosine(self, step: int) -> float:
        """Linear warm-up, then half a cosine down to 0."""
        warmup = round(self.recipe.warmup_epochs * self.steps_per_epoch)
        if step < warmup:
            return self.recipe.learning_rate * (step / warmup)
        progress = (step - warmup) / max(1, self.recipe.num_epochs * self.steps_per_epoch - warmup)
        return self.recipe.learning_rate * max(0.0, 0.5 * (1 + math.cos(math.pi * progress)))

    def _plateau(self, history: list[dict]) -> float:
        return self.recipe.learning_rate * self.recipe.plateau_factor ** (len(self.stages(history)) - 1)

    def is_finished(self, history: list[dict]) -> bool:
        """All epochs are done, or the learning rate has been cut to nothing."""
        cut_to_nothing = self.recipe.schedule == "plateau" and self._plateau(history) < self.recipe.min_learning_rate
        return cut_to_nothing or len(history) >= self.recipe.num_epochs
