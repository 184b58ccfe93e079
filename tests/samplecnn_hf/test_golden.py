"""Networks with known weights answer as they always did; see tests/golden/make_golden.py."""

import runpy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

FOLDER = Path(__file__).parents[1] / "golden"
MAKE = runpy.run_path(str(FOLDER / "make_golden.py"))


@pytest.mark.parametrize("name", MAKE["NETWORKS"])
def test_golden_outputs(name):
    expected = load_file(FOLDER / f"{name}.safetensors")
    outputs = MAKE["make_outputs"](name)
    assert outputs.keys() == expected.keys()
    for key in expected:
        torch.testing.assert_close(outputs[key], expected[key], atol=1e-5, rtol=1e-4)


def test_every_golden_file_has_a_network():
    assert {path.stem for path in FOLDER.glob("*.safetensors")} == set(MAKE["NETWORKS"])
