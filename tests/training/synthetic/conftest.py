import multiprocessing
from types import SimpleNamespace

import pytest

from training.synthetic import output


@pytest.fixture(scope="package", autouse=True)
def forked_workers():
    """Fork the workers: new processes would import the libraries again, which takes longer than the work."""
    forking = SimpleNamespace(get_context=lambda method: multiprocessing.get_context("fork"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output, "multiprocessing", forking)
        yield
