"""The tables of the large datasets are tested at full size; their audio is not there."""

import pytest

from training.paper import PAPER


@pytest.fixture(scope="session")
def paper():
    """The numbers of the paper."""
    return PAPER


@pytest.fixture(scope="session")
def split_sizes():
    return lambda source: {split: len(clips) for split, clips in source.splits.items()}
