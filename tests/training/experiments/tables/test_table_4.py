"""Table IV: the best of our networks beside the paper's best."""

from types import SimpleNamespace

import pytest

from training.experiments.grid import NetworkResults
from training.experiments.tables.table_4 import Table4, paper_row
from training.experiments.task import Task


def test_best_network_beside_the_papers(monkeypatch, paper_task):
    monkeypatch.setattr(Task, "source", SimpleNamespace(metric="accuracy", scored_split="test"))
    task = paper_task("speech_commands")
    networks = Table4().networks(task)
    scores = {network.variant: 0.9 + 0.01 * i for i, network in enumerate(networks)}
    runs = [
        NetworkResults(network, [{"metrics": {"test": {"accuracy": scores[network.variant]}}}]) for network in networks
    ]
    ours, paper, others = Table4().tables(task, runs)["table_4"]
    best = max(scores, key=scores.get)
    assert ours["network"] == best and ours["mean"] == pytest.approx(scores[best])
    assert paper["mean"] == paper_row("speech_commands")["score"]
    assert others["mean"] == paper_row("speech_commands")["others"]
