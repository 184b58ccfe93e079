"""
The learning rate and the best epoch as functions of the history, so that only the history is saved to resume a run.

With the schedule `plateau`, a stage is the epochs between two reductions of the learning rate.
"""

import math
from itertools import chain

from training.recipe import Recipe


class Schedule:
    """
    Learning rates and best epoch of a run.

    Args:
        recipe: options of the optimization.
        metric: metric of the task, a key of the validation scores.
        steps_per_epoch: optimizer steps per epoch in each process.

    A history is a list with one record per epoch: `epoch`, from 1, and the scores in `validation`.
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
        """The epochs at each learning rate. The last stage is unfinished; directly after a reduction it is empty."""
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

    def ends_stage(self, history: list[dict]) -> bool:
        """Whether the learning rate is reduced after the last epoch."""
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
        """Whether all epochs are done, or the learning rate is below its minimum."""
        below_minimum = self.recipe.schedule == "plateau" and self._plateau(history) < self.recipe.min_learning_rate
        return below_minimum or len(history) >= self.recipe.num_epochs
