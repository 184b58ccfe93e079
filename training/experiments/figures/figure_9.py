"""Fig. 9: the excitations of the first block for a quiet, a medium and a loud class."""

from dataclasses import dataclass

import numpy as np

from samplecnn_hf.analysis import ClassExcitations, class_excitations, plot_class_excitations
from training.errors import RecipeError
from training.experiments.experiment import Analysis
from training.options import option


@dataclass(frozen=True)
class Figure9(Analysis):
    classes: list[str] | None = option(
        None, "names of the classes to show (default: the quietest, the median, the loudest)"
    )

    name = "figure_9"
    title = "Fig. 9: excitations of the first block for classes of different loudness, section VII-B"

    def analyze(self, network):
        if unknown := [name for name in self.classes or [] if name not in network.labels]:
            raise RecipeError(f"{network.name} has no class {unknown[0]!r}: choose from {', '.join(network.labels)}")
        statistics = class_excitations(network.excitations(), network.labels)
        classes = statistics.quiet_medium_loud()
        if self.classes:
            classes = [network.labels.index(name) for name in dict.fromkeys(self.classes)]
            if missing := [network.labels[i] for i in classes if not statistics.num_clips[i]]:
                raise RecipeError(f"no clip of {missing[0]!r} is among the {network.clips}: use more clips")
            classes.sort(key=lambda i: statistics.rms[i])
        excitations = statistics.excitations[0][classes]
        paper = {classes[0]: "highest excitation"} | {classes[-1]: "lowest excitation"} if len(classes) > 1 else {}
        rows = [
            {
                "model": network.name,
                "class": network.labels[i],
                "clips": int(statistics.num_clips[i]),
                "RMS": float(statistics.rms[i]),
                "mean excitation of block 1": float(excitation.mean()),
                "paper": paper.get(i),
            }
            for i, excitation in zip(classes, excitations, strict=True)
        ]
        return rows, {"excitations": excitations}

    def plot(self, rows, arrays):
        names, num_clips, rms = zip(*((row["class"], row["clips"], row["RMS"]) for row in rows), strict=True)
        shown = ClassExcitations(names, np.array(num_clips), np.array(rms), (arrays["excitations"],))
        return plot_class_excitations(shown, range(len(rows)))
