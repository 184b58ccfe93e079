"""Fig. 8: how much the excitations differ from class to class, in each block."""

from samplecnn_hf.analysis import class_excitations, plot_deviations

TITLE = "Fig. 8: standard deviation of the excitations over the classes in each block, section VII-A"
BLOCK_TYPE = "se"
TOGETHER = True


def analyse(subject, args) -> tuple[list[dict], dict]:
    deviations = class_excitations(subject.excitations(), subject.labels).deviations().tolist()
    paper = {1: "high for music alone", len(deviations): "highest, or next to it"}
    rows = [
        {"model": subject.name, "block": block, "standard deviation": deviation, "paper": paper.get(block, "rises")}
        for block, deviation in enumerate(deviations, start=1)
    ]
    return rows, {}


def plots(tables, arrays) -> dict:
    deviations = {}
    for row in tables["figure_8"]:
        deviations.setdefault(row["model"], []).append(row["standard deviation"])
    return {"figure_8": plot_deviations(deviations)}
