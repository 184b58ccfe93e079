"""The tables of the large data sets are tested at full size; their audio is not there."""

from pathlib import Path

import pytest
import yaml


@pytest.fixture(scope="session")
def paper():
    """The numbers of the paper."""
    path = Path(__file__).parents[3] / "training" / "paper.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def split_sizes():
    return lambda source: {split: len(clips) for split, clips in source.splits.items()}
