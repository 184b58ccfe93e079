import json

import pytest

from benchmarks import common


@pytest.fixture
def results(tmp_path, monkeypatch):
    """results(name): what a benchmark wrote, to a temporary folder."""
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    return lambda name: json.loads((tmp_path / f"{name}.json").read_text())


@pytest.fixture
def call_directly(monkeypatch):
    """call_directly(benchmark): it measures in this process instead of new ones."""
    return lambda benchmark: monkeypatch.setattr(benchmark, "in_new_process", lambda function, *args: function(*args))


@pytest.fixture
def write_data(write_tone, tmp_path):
    """write_data(labels): a folder with a training and a validation clip of each label."""

    def write(labels):
        for split in ("train", "validation"):
            for label in labels:
                (tmp_path / "data" / split / label).mkdir(parents=True)
                write_tone(f"data/{split}/{label}/0.wav", seconds=0.2)
        return str(tmp_path / "data")

    return write
