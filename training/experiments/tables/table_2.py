"""
Table II: the stems of Fig. 4 with a fixed number of parameters.

The paper does not give the widths: training/paper.yaml, `fixed_size_stems`, holds those that restore the size of the
default network, for both values of `--channels` (figure_4.py).
"""

from samplecnn_hf import variants
from training.experiments.figures.figure_4 import StemExperiment
from training.experiments.grid import Network
from training.experiments.plots import plot_scores
from training.paper import PAPER


class Table2(StemExperiment):
    name = "table_2"
    title = "Table II: filter and stride with a fixed number of parameters (basic blocks), section V-A"

    def networks(self, task):
        widths = PAPER["fixed_size_stems"][int(task.family)]["stems"]
        networks = []
        for kernel_size, stride in [*variants.STEMS, (3, 3)]:
            stem = f"{kernel_size}x{stride}"
            variant = task.variant("basic", f"-stem{stem}-fixed" if stride > 3 else "")
            kwargs = self.stem_kwargs(kernel_size, stride)
            if "first_doubling" in kwargs:
                kwargs["stem_channels"] = widths[stem]["kept_width"]
            paper = PAPER["table_2"].get(stem, {}).get(task.recipe.source)
            networks.append(Network(variant, {"filter": kernel_size, "stride": stride}, paper, kwargs))
        return networks

    def plots(self, tables):
        rows = [{**row, "filter/stride": f"{row['filter']}/{row['stride']}"} for row in tables["table_2"]]
        return {"table_2": plot_scores(rows, x="filter/stride")}
