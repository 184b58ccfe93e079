from pathlib import Path

import pytest

from samplecnn_hf import list_variants
from training.data import SOURCES
from training.data.synthetic import STAND_INS
from training.recipe import RecipeError, parse_recipe, read_recipe

RECIPES = sorted((Path(__file__).parents[2] / "training" / "recipes").rglob("*.yaml"))
REQUIRED = ["--data_dir=data", "--output_dir=run"]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_shipped_recipes_are_complete(path):
    recipe = parse_recipe([f"--recipe={path}", *REQUIRED])
    assert recipe.variant in list_variants()
    assert recipe.source in SOURCES
    assert {name: getattr(recipe, name) for name in read_recipe(path)} == read_recipe(path)


def test_synthetic_data_are_trained_on_for_fewer_epochs():
    recipe = RECIPES[0].parents[1] / "mtt" / "paper.yaml"
    options = [f"--recipe={recipe}", "--output_dir=run", "--synthetic"]
    limit = STAND_INS["magnatagatune"].num_epochs
    assert parse_recipe(options[:2] + ["--data_dir=data"]).num_epochs == 100 > limit
    assert parse_recipe(options).num_epochs == limit
    assert parse_recipe(options).data_dir == "data/synthetic/magnatagatune"
    assert parse_recipe([*options, "--num_epochs=50"]).num_epochs == 50
    assert parse_recipe([*options, "--num_epochs", "50"]).num_epochs == 50
    assert parse_recipe([*options[:2], "--synthetic", "false", "--data_dir=data"]).num_epochs == 100


def test_command_line_overrides_the_file(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("batch_size: 5\nlearning_rate: 1e-3\npretrained: null\ndrop_last: true\n")
    recipe = parse_recipe([f"--recipe={path}", "--batch_size=7", *REQUIRED])
    assert (recipe.batch_size, recipe.learning_rate, recipe.pretrained, recipe.drop_last) == (7, 1e-3, None, True)


@pytest.mark.parametrize(
    "text, message",
    [
        ("batchsize: 5", "unknown field 'batchsize'"),
        ("optimizer: sdg", "invalid choice: 'sdg'"),
        ("batch_size: many", "invalid int value: 'many'"),
        ("batch_size: 1", "must be at least 2"),
        ("mixup: -1", "must not be negative"),
        ("variant: se9", "there is no variant 'se9'; did you mean se-9"),
        ("dropout: 2", "dropout must be at least 0 and below 1"),
        ("max_segments: 0", "max_segments must be at least 1"),
        ("- a list", "must hold lines of the form"),
        ("a: [", "cannot read the recipe"),
    ],
)
def test_bad_file_is_one_line(tmp_path, text, message):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=message) as error:
        parse_recipe([f"--recipe={path}", *REQUIRED])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--data_dir=data"], "--output_dir is missing"),
        (["--output_dir=run"], "--data_dir is missing"),
        ([*REQUIRED, "--colour=red"], "unknown option --colour=red; --help lists all"),
        ([*REQUIRED, "--bach_size=5"], "did you mean --batch_size"),
        ([*REQUIRED, "--pretrained=run", "--variant=se-9"], "leave out --variant and --initializer"),
        ([*REQUIRED, "--plateau_reload", "--average_decay=0.9"], "--average_decay 0"),
        ([*REQUIRED, "--plateau_reload", "--keep=last"], "--keep best"),
        (
            [*REQUIRED, "--source=million_song", "--synthetic"],
            "can be made for .*speech_commands; not for million_song",
        ),
        ([*REQUIRED, "--recip=paper.yaml"], "unknown option --recip"),
        ([*REQUIRED, "--recipe=nowhere.yaml"], "cannot read the recipe nowhere.yaml"),
    ],
)
def test_bad_command_line_is_one_line(options, message):
    with pytest.raises(RecipeError, match=message):
        parse_recipe(options)
