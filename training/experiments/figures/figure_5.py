"""
Fig. 5: max-pooling replaced by striding, from the bottom upwards.

From the third strided convolution on, 22,050 samples leave a number of frames that is not a multiple of 3 (2,450). The
remainder is dropped, as in max-pooling; this is an assumption. `--partial_frames pad` pads it, as Keras does for
padding="same".
"""

from samplecnn_hf import create_config
from training.experiments.figures.figure_4 import PartialFramesExperiment
from training.experiments.grid import Network
from training.experiments.plots import plot_scores


class Figure5(PartialFramesExperiment):
    name = "figure_5"
    title = "Fig. 5: number of strided convolutions from the bottom (basic blocks), section V-A"

    def networks(self, task):
        basic = task.variant("basic")
        num_blocks = create_config(basic, **task.recipe.model_kwargs).num_blocks
        variants = [f"{basic}-strided{number}" for number in range(num_blocks + 1)]
        variants[1] = basic  # one strided convolution is the default
        return [
            Network(variant, {"strided convolutions": number}, task.paper_score(variant), self.partial_frames_kwargs())
            for number, variant in enumerate(variants)
        ]

    def plots(self, tables):
        return {"figure_5": plot_scores(tables["figure_5"], x="strided convolutions")}
