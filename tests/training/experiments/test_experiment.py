"""Add an experiment as a user would: one class in one file, registered by name."""

from dataclasses import dataclass

import pytest

from training.experiments import EXPERIMENTS
from training.experiments.experiment import Analysis, GridExperiment
from training.experiments.grid import Network
from training.experiments.plots import plot_differences, plot_scores
from training.options import option


@dataclass(frozen=True)
class Ratios(GridExperiment):
    ratios: list[str] | None = option(
        None,
        "values of se_ratio",
    )

    name = "ratios"
    title = "Reduction ratios of SE blocks"

    def networks(self, task):
        ratios = map(float, self.ratios or ["0.125"])
        return [Network(task.variant("se"), {"ratio": ratio}, model_kwargs={"se_ratio": ratio}) for ratio in ratios]

    def plots(self, tables):
        return {"ratios": plot_scores(tables["ratios"], x="ratio")}


class Sizes(Analysis):
    name = "sizes"
    title = "Sizes of networks"
    block_type = "basic"
    needs_clips = False
    combined = True

    def analyze(self, network):
        size = network.model.num_parameters()
        return [{"label": network.name, "score": "parameters", "size": size}], {}

    def plot(self, rows, arrays):
        return plot_differences(rows, "label", "size")


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    for experiment in (Ratios, Sizes):
        monkeypatch.setitem(EXPERIMENTS, experiment.name, experiment)


def test_grid_with_an_option(run, on_tones):
    result = run("ratios", *on_tones, "--seeds=1", "--ratios", "0.5", "1")
    rows = result["tables"]["ratios"]
    assert [(row["ratio"], row["network"], row["runs"]) for row in rows] == [
        (0.5, "se-8-se_ratio=0.5", 1),
        (1.0, "se-8-se_ratio=1.0", 1),
    ]


def test_analysis(analyze, save_model, tmp_path):
    result = analyze("sizes", save_model("a", "test-basic"), save_model("b", "test-res2"))
    small, large = result["tables"]["sizes"]
    assert (small["label"], large["label"]) == ("a", "b") and 0 < small["size"] < large["size"]
    assert (tmp_path / "experiments" / "results" / "a+b" / "sizes.png").is_file()


def test_an_experiment_without_its_methods_is_refused():
    class Incomplete(GridExperiment):
        name = title = "incomplete"

    with pytest.raises(TypeError, match="abstract"):
        Incomplete()
