"""Fig. 8: how much the excitations differ between classes, per block."""

from samplecnn_hf.analysis import class_excitations, plot_deviations
from training.experiments.experiment import Analysis


class Figure8(Analysis):
    name = "figure_8"
    title = "Fig. 8: standard deviation of the excitations over the classes in each block, section VII-A"
    combined = True

    def analyze(self, network):
        deviations = class_excitations(network.excitations(), network.labels).deviations().tolist()
        paper = {1: "high for music alone", len(deviations): "highest, or next to it"}
        rows = [
            {"model": network.name, "block": block, "standard deviation": value, "paper": paper.get(block, "rises")}
            for block, value in enumerate(deviations, start=1)
        ]
        return rows, {}

    def plot(self, rows, arrays):
        deviations = {}
        for row in rows:
            deviations.setdefault(row["model"], []).append(row["standard deviation"])
        return plot_deviations(deviations)
