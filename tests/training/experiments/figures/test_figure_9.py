"""Fig. 9: excitations of classes of different loudness."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.training.experiments.conftest import LABELS


def test_excitations_of_classes(analyze, save_model, excitations_of_tones, tmp_path):
    model = save_model()
    rows = analyze("figure_9", model)["tables"]["figure_9"]
    levels = {label: [] for label in LABELS}
    for clip, label in excitations_of_tones(model):
        levels[LABELS[label]].append(clip.rms.mean())
    levels = {label: np.mean(values) for label, values in levels.items()}
    assert [row["class"] for row in rows] == sorted(levels, key=levels.get)
    assert [row["RMS"] for row in rows] == pytest.approx(sorted(levels.values()), rel=1e-3)
    assert [row["paper"] for row in rows] == ["highest excitation", None, "lowest excitation"]
    excitations = load_file(tmp_path / "experiments" / "results" / "net" / "figure_9.safetensors")["excitations"]
    assert excitations.mean(1) == pytest.approx([row["mean excitation of block 1"] for row in rows])

    chosen = analyze("figure_9", model, "--classes", "low", "high")["tables"]["figure_9"]
    assert {row["class"] for row in chosen} == {"low", "high"} and len(chosen) == 2


def test_unknown_class(save_model, refused):
    options = ["--classes", "dog", "--split=test"]
    refused("figure_9", save_model(), *options, message="net has no class 'dog': choose from high, low, middle")
