"""The paper's two families in small: the experiments run whole, on networks of 8 channels and a tenth of a second."""

import json

import pytest

from samplecnn_hf import variants
from training.experiments import __main__ as experiments
from training.loop import metrics
from training.synthetic import STAND_INS, StandIn

TINY_FAMILIES = {
    9: {"num_blocks": 6, "segment_length": 2187, "stem_channels": 8},
    8: {"num_blocks": 5, "segment_length": 1458, "stem_channels": 8},
}
TINY_STEMS = {(27, 27): (5, {9: 9, 8: 9}), (9, 9): (4, {9: 7, 8: 7})}


@pytest.fixture
def tiny_networks(monkeypatch):
    """Every name of the registry keeps its form."""
    monkeypatch.setattr(variants, "FAMILIES", TINY_FAMILIES)
    monkeypatch.setattr(variants, "STEMS", TINY_STEMS)
    monkeypatch.setattr(variants, "SHORTEST_MEL_WINDOW", 27)
    monkeypatch.setattr(variants, "_VARIANTS", variants._build_registry())
    monkeypatch.setattr(metrics, "BOOTSTRAP_DRAWS", 2)  # most of the time of a tiny run


@pytest.fixture
def on_tones(tiny_networks, tones, tmp_path):
    """Options: the tones as a user's own data, one epoch of one seed."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "variant: se-8\nbatch_size: 8\nlearning_rate: 0.01\noptimizer: adamw\nbatch_norm_momentum: 0.1\n"
    )
    return [
        "--source=folder",
        f"--data_dir={tones}",
        f"--recipe={recipe}",
        f"--cache_dir={tmp_path / 'cache'}",
        f"--runs_dir={tmp_path / 'experiments'}",
        "--num_epochs=1",
        "--seeds=1",
    ]


@pytest.fixture
def on_chords(tiny_networks, write_chords, tmp_path, monkeypatch):
    """Options: chords in place of the synthetic music, one epoch of one seed."""
    monkeypatch.setitem(STAND_INS, "magnatagatune", StandIn(write_chords, num_epochs=1))
    monkeypatch.setattr("training.data.sources.magnatagatune.MIN_SECONDS", 0.0)  # chords are short
    return [
        "--synthetic",
        "--tasks=magnatagatune",
        f"--data_dir={tmp_path / 'chords'}",
        f"--cache_dir={tmp_path / 'cache'}",
        f"--runs_dir={tmp_path / 'experiments'}",
        "--seeds=1",
    ]


@pytest.fixture
def run(tmp_path):
    """run("figure_6", *options): the command; returns the result it wrote."""

    def run(name: str, *options: str) -> dict:
        experiments.main([name, *options])
        (path,) = (tmp_path / "experiments" / "results").glob(f"*/{name}.json")
        return json.loads(path.read_text())

    return run
