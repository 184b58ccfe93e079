import json
import math
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from types import NoneType
from typing import Annotated, get_args, get_origin, get_type_hints

import pytest
import yaml

from samplecnn_hf import list_variants
from training.data import SOURCES
from training.errors import RecipeError
from training.recipe import Recipe, parse_recipe, read_recipe
from training.synthetic import STAND_INS

RECIPES = sorted((Path(__file__).parents[2] / "training" / "recipes").rglob("*.yaml"))
RESULTS = Path(__file__).parents[2] / "docs" / "results"
REQUIRED = ["--data_dir=data", "--output_dir=run"]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_shipped_recipes_are_complete(path):
    pretrained = ["--pretrained=model"] if path.stem == "finetune" else []
    recipe = parse_recipe([f"--recipe={path}", *REQUIRED, *pretrained])
    assert recipe.variant in list_variants()
    assert recipe.source in SOURCES
    written = yaml.safe_load(path.read_text())
    assert {name: getattr(recipe, name) for name in written} == written
    if path.stem in ("paper", "code"):
        assert (recipe.mixed_precision, recipe.monitor, recipe.keep) == ("no", "segment_loss", "best")
    assert (
        recipe.plateau_reload == (path.stem == "code") and recipe.learning_rate_decay == (path.stem == "code") * 1e-6
    )


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
        ("mixup: -1", "--mixup must be at least 0 and at most 100; got -1.0"),
        ("variant: se9", "there is no variant 'se9'; did you mean se-9"),
        ("dropout: 2", "dropout must be at least 0 and below 1"),
        ("max_segments: 0", "max_segments must be at least 1"),
        ("- a list", "must hold lines of the form"),
        ("a: [", "cannot read the recipe"),
        ("", "must hold lines of the form"),
        ("seed: 1\nbatch_size: 5\nseed: 2", "line 3: seed is there twice"),
        ("seed: [1, 2]", "line 1: seed must be a single plain value"),
        ("seed: &a [*a]", "line 1: seed must be a single plain value|cannot read"),
        ("seed: &a [1]\nthreads: *a", "seed must be a single plain value"),
        ("<<: {seed: 1}", "unknown field '<<'"),
        ("? [1]\n: 2", "unknown field None"),
        ("seed: !!python/object/apply:os.getpid []", "seed must be a single plain value"),
        ("license: !!python/name:os.sep ''", "license must be a single plain value"),
        ("seed: 1\n---\nseed: 2", "cannot read the recipe"),
        ("seed: 1\x00", "cannot read the recipe"),
        ("[" * 100_000, "cannot read the recipe"),
        ("# " + "x" * 2**21, "it is too large for a recipe"),
        ("learning_rate: .nan", "invalid float value: '.nan'"),
        ('license: "a\\nb"', "--license 'a.+b' must be valid UTF-8 without line breaks"),
        ("license: ' '", "--license is empty"),
    ],
)
def test_bad_file_is_one_line(tmp_path, text, message):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=message) as error:
        parse_recipe([f"--recipe={path}", *REQUIRED])
    assert "\n" not in str(error.value)


def test_file_that_is_not_text(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(b"license: \xff")
    with pytest.raises(RecipeError, match="cannot read the recipe .* can't decode byte 0xff"):
        parse_recipe([f"--recipe={path}", *REQUIRED])
    with pytest.raises(RecipeError, match="cannot read the recipe /dev/zero"):
        parse_recipe(["--recipe=/dev/zero", *REQUIRED])


def test_values_are_taken_as_they_are_written(tmp_path):
    """YAML 1.1 would make False of `no`, 83 of `0123` and a date of `2020-01-01`."""
    path = tmp_path / "recipe.yaml"
    path.write_text("mixed_precision: no\ndata_dir: 0123\noutput_dir: 2020-01-01\nthreads: ~\n")
    assert read_recipe(path) == {"mixed_precision": "no", "data_dir": "0123", "output_dir": "2020-01-01"}


def bad_values() -> Iterator[tuple]:
    """Of every option, values that it can never have, as the command line and as Python may give them."""
    for option, hint in get_type_hints(Recipe, include_extras=True).items():
        hint = get_args(hint)[0] if get_origin(hint) is Annotated else hint
        types = get_args(hint) or (hint,)
        bad = {
            int: [math.nan, math.inf, -1, 10**30, 10**400, 1.5, True, "1", [1], {}],
            float: [math.nan, math.inf, -math.inf, 10**400, True, "1", [1], {}],
            bool: [1, 0.0, "true", [True], None],
            str: ["", " ", "a\nb", "a\0b", "\udcff", "a\u2028b", 1, True, b"a", Path("a"), [["a"] * 9] * 9],
        }
        number = types[0] is float and option != "mean"
        values = bad[types[0]] + [-1.0, -1] * number + [None] * (NoneType not in types and types[0] is not bool)
        yield from ((option, value) for value in values)


@pytest.mark.parametrize("option, value", list(bad_values()), ids=lambda x: ascii(x)[:20])
def test_bad_value_is_one_line(option, value):
    with pytest.raises(RecipeError) as error:
        Recipe(**{"data_dir": "data", "output_dir": "run", option: value})
    assert str(error.value).startswith(f"--{option} ") and "\n" not in str(error.value)
    assert len(str(error.value)) < 700


NUMBERS = [name for name, hint in get_type_hints(Recipe).items() if {int, float} & {hint, *get_args(hint)}]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e39", "-1", "1" + "0" * 400, "1" * 5000, "many", "", "[1]"])
@pytest.mark.parametrize("option", NUMBERS)
def test_bad_number_on_the_command_line(option, value):
    if (option, value) == ("mean", "-1"):
        pytest.skip("the mean may be negative")
    with pytest.raises(RecipeError, match=f"--{option}\\b"):
        parse_recipe([*REQUIRED, f"--{option}={value}"])


def test_every_number_has_limits():
    hints = get_type_hints(Recipe, include_extras=True)
    assert {name for name, hint in hints.items() if get_origin(hint) is Annotated} == set(NUMBERS)


@pytest.mark.parametrize(
    "option",
    [
        "--seed=-1",
        "--threads=-1",
        "--threads=0",
        "--mixup=nan",
        "--mixup=0.001",
        "--plateau_factor=2",
        "--batch_size=1000000000000",
    ]
    + ["--noise=1.5", "--warmup_epochs=-0.5", "--learning_rate=0", "--time_shift=1e308", "--std=0", "--seed=1e3"],
)
def test_bad_option_names_itself(option):
    with pytest.raises(RecipeError, match=f"^(argument )?{option.partition('=')[0]}\\b"):
        parse_recipe([*REQUIRED, option])


@pytest.mark.parametrize(
    "options, message",
    [
        (["--data_dir=data"], "--output_dir is missing"),
        (["--output_dir=run"], "--data_dir is missing"),
        ([*REQUIRED, "--colour=red"], "unknown option --colour=red; --help lists all"),
        ([*REQUIRED, "--bach_size=5"], "did you mean --batch_size"),
        ([*REQUIRED, "--pretrained=run", "--variant=se-9"], "leave out --variant$"),
        ([*REQUIRED, "--pretrained=run", "--mean=1", "--max_segments=4"], "leave out --max_segments and --mean$"),
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


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_recipes_of_earlier_versions_are_understood(path):
    earlier = json.loads(path.read_text())["recipe"]
    known = {name: value for name, value in earlier.items() if name in {f.name for f in fields(Recipe)}}
    assert Recipe(**known).changed_option(earlier) is None
    changed = replace(Recipe(**known), seed=5).changed_option(earlier)
    assert changed == f"seed {earlier['seed']}, not 5"
    if not earlier["recipe"].endswith("paper.yaml"):  # which is float32 now, and judged by the loss of the segments
        names = ("recipe", "source", "data_dir", "output_dir", "num_epochs")
        options = [f"--{name}={earlier[name]}" for name in names]
        assert (
            parse_recipe([*options, f"--synthetic={earlier.get('synthetic', False)}"]).changed_option(earlier) is None
        )
