import json
from dataclasses import asdict
from pathlib import Path

import pytest

from training.errors import RecipeError
from training.loop.results import finished_results
from training.recipe import Recipe


@pytest.fixture
def recipe(tones, tmp_path):
    return Recipe(data_dir=str(tones), output_dir=str(tmp_path / "run"), variant="test-se")


@pytest.fixture
def finish(recipe):
    """finish(**changes): write the results of the recipe's run."""

    def finish(**changes):
        source = recipe.load_source()
        clips = {split: len(clips) for split, clips in source.splits.items()}
        results = {
            "recipe": asdict(recipe),
            "labels": source.labels,
            "clips": clips,
            "clips_left_out": dict.fromkeys(clips, 0),
            "history": [],
            "kept_epoch": 1,
            **changes,
        }
        Path(recipe.output_dir).mkdir()
        (Path(recipe.output_dir) / "results.json").write_text(json.dumps(results))
        return results

    return finish


def test_no_run(recipe):
    assert finished_results(recipe, recipe.load_source()) is None


def test_finished_run(recipe, finish):
    assert finish() == finished_results(recipe, recipe.load_source())


def test_run_with_other_options(recipe, finish):
    finish(recipe={**asdict(recipe), "seed": 7})
    with pytest.raises(RecipeError, match="was trained with --seed 7, not 0: give the same options"):
        finished_results(recipe, recipe.load_source())


@pytest.mark.parametrize(
    "change", [{"labels": ["high", "low", "other"]}, {"clips": {"train": 1}, "clips_left_out": {"train": 0}}]
)
def test_run_on_other_clips(recipe, finish, change):
    finish(**change)
    with pytest.raises(RecipeError, match="was trained on other clips than"):
        finished_results(recipe, recipe.load_source())
