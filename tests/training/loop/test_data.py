from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator

from training.errors import DataError
from training.loop.data import load_data
from training.recipe import Recipe


@pytest.fixture
def load(tones, tmp_path):
    """load(**options): the data of a run on the tones."""

    def load(**options):
        options = {"variant": "test-se", "batch_size": 8, "cache_dir": str(tmp_path / "cache"), **options}
        recipe = Recipe(data_dir=str(tones), output_dir=str(tmp_path / "run"), **options)
        source = recipe.load_source()
        return load_data(recipe, source, recipe.create_model(source)[1], Accelerator(cpu=True))

    return load


def test_batches_of_segments_and_of_clips(load):
    data = load()
    assert {split: len(clips) for split, clips in data.clips.items()} == {"train": 36, "validation": 12, "test": 12}
    for batch in data.segments:  # an incomplete last batch is dropped
        assert batch["input_values"].shape == (8, 1, data.extractor.segment_length)
        assert batch["labels"].shape == (8, 3) and torch.equal(batch["labels"].sum(1), torch.ones(8))
    assert set(data.evaluation) == {"validation", "test"}
    assert sum(len(batch["labels"]) for batch in data.evaluation["test"]) == 12


def test_too_few_segments_for_a_batch(load):
    with pytest.raises(DataError, match="training segments do not fill a batch: use a smaller --batch_size"):
        load(batch_size=1000)


def test_background_noise_is_longer_than_a_segment(load, tones, write_tone, monkeypatch):
    path = write_tone("noise.wav", seconds=0.01)
    load_source = Recipe.load_source
    monkeypatch.setattr(Recipe, "load_source", lambda recipe: replace(load_source(recipe), background_noise=(path,)))
    with pytest.raises(DataError, match="background noise must be longer than a segment: add more, or set --noise 0"):
        load(noise=0.5)
    load(noise=0.0)
