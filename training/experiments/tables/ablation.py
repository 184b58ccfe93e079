"""Ablation of a recipe, not in the paper: what each of its parts is worth, trained with one change at a time."""

from training.experiments.experiment import GridExperiment
from training.experiments.grid import Network
from training.experiments.plots import plot_differences

AS_GIVEN = "none"
# Changes of recipe fields. One that the recipe has already is left out.
CHANGES = {
    "no time shift": {"time_shift": 0.0},
    "no change of speed": {"speed": 0.0},
    "tempo 0.4": {"tempo": 0.4},
    "no formant shift": {"formants": 0.0},
    "no change of level": {"gain": 0.0},
    "no equalizer": {"equalizer": 0.0},
    "no reverberation": {"reverberation": 0.0},
    "no noise": {"noise": 0.0},
    "no time mask": {"time_mask": 0.0},
    "mixup 0.2": {"mixup": 0.2},
    "segments not normalized": {"do_normalize": False},
    "no label smoothing": {"label_smoothing": 0.0},
    "no EMA": {"average_decay": 0.0},
    "no weight decay": {"weight_decay": 0.0},
    "dropout 0.5": {"dropout": 0.5},
    "no warm-up": {"warmup_epochs": 0.0},
    "learning rate 0.001": {"learning_rate": 0.001},
    "batch size 64": {"batch_size": 64},
    "batch norm momentum 0.01": {"batch_norm_momentum": 0.01},
}


class Ablation(GridExperiment):
    name = "ablation"
    title = "Ablation: the recipe with one change at a time"
    default_tasks = ("speech_commands",)

    def networks(self, task):
        variant, recipe = task.recipe.variant, task.recipe
        pooled = variant.partition("-strided")[0]
        networks = [Network(variant, {"change": AS_GIVEN})]
        if pooled != variant:
            networks.append(Network(pooled, {"change": "pooling only"}))
        return networks + [
            Network(variant, {"change": name}, recipe_changes=changes)
            for name, changes in CHANGES.items()
            if any(getattr(recipe, field) != value for field, value in changes.items())
        ]

    def tables(self, task, trained):
        """Scores with their difference from the unchanged recipe's."""
        (rows,) = super().tables(task, trained).values()
        base = rows[0]["mean"]
        columns = [column for column in rows[0] if column != "paper"]
        for row in rows:
            row["difference"] = row["mean"] - base if None not in (row["mean"], base) else None
        return {self.name: [{column: row[column] for column in [*columns, "difference"]} for row in rows]}

    def plots(self, tables):
        _, *changes = tables[self.name]
        return {self.name: plot_differences(changes, "change", "difference")}
