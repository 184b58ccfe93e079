import json
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path
from types import NoneType

import pytest
import yaml

from samplecnn_hf import list_variants
from training.data import SOURCES
from training.errors import RecipeError
from training.options import read_yaml, unpack
from training.recipe import Recipe, parse_recipe
from training.synthetic.sources import SYNTHETIC_SOURCES

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
    limit = SYNTHETIC_SOURCES["magnatagatune"].num_epochs
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
        ("optimizer: sdg", "--optimizer must be one of sgd, adamw; got 'sdg'"),
        ("batch_size: many", "--batch_size must be an integer; got 'many'"),
        ("batch_size: 1", "must be at least 2"),
        ("mixup: -1", "--mixup must be at least 0 and at most 100; got -1.0"),
        ("variant: se9", "there is no variant 'se9'; did you mean se-9"),
        ("dropout: 2", "dropout must be at least 0 and below 1"),
        ("max_segments: 0", "max_segments must be at least 1"),
        ("- a list", "must be a YAML mapping"),
        ("a: [", "cannot read the recipe"),
        ("", "must be a YAML mapping"),
        ("seed: 1\nbatch_size: 5\nseed: 2", "duplicate name 'seed'.*line 3"),
        ("seed: [1, 2]", "--(seed|threads) must be an integer; got"),
        ("seed: &a [*a]", "cannot read the recipe .*recursive"),
        (
            "seed: [&a [x,x,x,x,x,x,x,x,x], "
            + ", ".join(f"&{k} [{','.join(['*' + p] * 9)}]" for k, p in zip("bcdefghi", "abcdefgh", strict=True))
            + "]",
            "--seed must be an integer; got a list",
        ),
        ("seed: &a [1]\nthreads: *a", "--(seed|threads) must be an integer; got"),
        ("<<: {seed: 1}", "unknown field '<<'"),
        ("? [1]\n: 2", "cannot read the recipe .*unhashable key"),
        ("seed: !!python/object/apply:os.getpid []", "--(seed|threads) must be an integer; got"),
        ("license: !!python/name:os.sep ''", "--license is empty"),
        ("license: [mit]", "--license must be text; got"),
        ("seed: 1\n---\nseed: 2", "cannot read the recipe"),
        ("seed: 1\x00", "cannot read the recipe"),
        ("[" * 100_000, "cannot read the recipe"),
        ("learning_rate: .nan", "--learning_rate must be a number; got '.nan'"),
        ('license: "a\\nb"', "--license 'a.+b' must be one line of UTF-8 text"),
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


def test_values_are_taken_as_they_are_written(tmp_path):
    """YAML 1.1 would make False of `no`, 83 of `0123` and a date of `2020-01-01`."""
    path = tmp_path / "recipe.yaml"
    path.write_text("mixed_precision: no\ndata_dir: 0123\noutput_dir: 2020-01-01\nthreads: ~\n")
    assert read_yaml(Recipe, str(path)) == {"mixed_precision": "no", "data_dir": "0123", "output_dir": "2020-01-01"}


def bad_values() -> Iterator[tuple]:
    """Of every option, values that it can never have, as the command line and as Python may give them."""
    for f in fields(Recipe):
        option, types = f.name, unpack(f.type)[0]
        bad = {
            int: [math.nan, math.inf, -1, 10**30, 10**400, 1.5, True, "1", [1], {}],
            float: [math.nan, math.inf, -math.inf, 10**400, True, "1", [1], {}],
            bool: [1, 0.0, "true", [True], None],
            str: ["", " ", "a\nb", "a\0b", "\udcff", "a\u2028b", 1, True, b"a", Path("a"), [["a"] * 9] * 9],
            dict: [[], "a=1", None, {"se_ratio": None}, {"se_ratio": [1]}, {"se_ratio": {}}],
        }
        number = types[0] is float and option != "mean"
        values = (
            bad[types[0]] + [-1.0, -1] * number + [None] * (NoneType not in types and types[0] not in (bool, dict))
        )
        yield from ((option, value) for value in values)


@pytest.mark.parametrize("option, value", list(bad_values()), ids=lambda x: ascii(x)[:20])
def test_bad_value_is_one_line(option, value):
    with pytest.raises(RecipeError) as error:
        Recipe(**{"data_dir": "data", "output_dir": "run", option: value})
    assert str(error.value).startswith(f"--{option} ") and "\n" not in str(error.value)
    assert len(str(error.value)) < 700


NUMBERS = [f.name for f in fields(Recipe) if {int, float} & set(unpack(f.type)[0])]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e39", "-1", "1" + "0" * 400, "1" * 5000, "many", "", "[1]"])
@pytest.mark.parametrize("option", NUMBERS)
def test_bad_number_on_the_command_line(option, value):
    if (option, value) == ("mean", "-1"):
        pytest.skip("the mean may be negative")
    with pytest.raises(RecipeError, match=f"--{option}\\b"):
        parse_recipe([*REQUIRED, f"--{option}={value}"])


def test_every_number_has_limits():
    assert {f.name for f in fields(Recipe) if unpack(f.type)[2]} == set(NUMBERS)


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
    with pytest.raises(RecipeError, match=f"^{option.partition('=')[0]}\\b"):
        parse_recipe([*REQUIRED, option])


@pytest.mark.parametrize(
    "options, message",
    [
        (["--data_dir=data"], "--output_dir is missing"),
        (["--output_dir=run"], "--data_dir is missing"),
        ([*REQUIRED, "--colour=red"], "unknown option --colour=red; --help lists all"),
        ([*REQUIRED, "--bach_size=5"], "did you mean --batch_size"),
        ([*REQUIRED, "--pretrained=run", "--variant=se-9"], "do not pass --variant$"),
        ([*REQUIRED, "--pretrained=run", "--mean=1", "--max_segments=4"], "do not pass --max_segments and --mean$"),
        ([*REQUIRED, "--plateau_reload", "--average_decay=0.9"], "--average_decay 0"),
        ([*REQUIRED, "--plateau_reload", "--keep=last"], "--keep best"),
        ([*REQUIRED, "--learning_rate=5e-6"], "--learning_rate 5e-06 is below --min_learning_rate"),
        (
            [*REQUIRED, "--source=million_song", "--synthetic"],
            "can be made for .*speech_commands; not for million_song",
        ),
        ([*REQUIRED, "--recip=paper.yaml"], "unknown option --recip"),
        ([*REQUIRED, "--model_kwargs", "se_ratio"], "must be of the form NAME=VALUE; got 'se_ratio'"),
        ([*REQUIRED, "--model_kwargs", "se_ratioo=4"], "there is no field 'se_ratioo'; did you mean se_ratio"),
        ([*REQUIRED, "--model_kwargs", "se_ratio=999"], "se_ratio must be from 0.0001 to 16; got 999"),
        ([*REQUIRED, "--model_kwargs", "multi_level=many"], "multi_level"),
        ([*REQUIRED, "--model_kwargs", "dropout=0.1"], "cannot set dropout: use --dropout"),
        ([*REQUIRED, "--model_kwargs", "num_labels=3"], "cannot set num_labels: it does not describe the network"),
        ([*REQUIRED, "--model_kwargs=se_ratio=4", "--pretrained=run"], "leave it out with --pretrained"),
        ([*REQUIRED, "--recipe=nowhere.yaml"], "cannot read the recipe nowhere.yaml"),
    ],
)
def test_bad_command_line_is_one_line(options, message):
    with pytest.raises(RecipeError, match=message):
        parse_recipe(options)


OVERRIDDEN = {  # further options of the command
    "arabic_modern_seed1": ("seed",),
    "arabic_modern_seed2": ("seed",),
    "arabic_phase": ("phase",),
    "arabic_phase_seed1": ("phase", "seed"),
    "arabic_phase_seed2": ("phase", "seed"),
    "arabic_pooled": ("variant",),
    "arabic_tempo": ("pretrained", "learning_rate", "tempo"),
}


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_recipes_of_earlier_versions_are_understood(path):
    earlier = json.loads(path.read_text())["recipe"]
    known = {name: value for name, value in earlier.items() if name in {f.name for f in fields(Recipe)}}
    Recipe(**known).check_same_run(earlier)
    with pytest.raises(RecipeError, match=f"was trained with --seed {earlier['seed']}, not 5"):
        replace(Recipe(**known), seed=5).check_same_run(earlier)
    # `paper` is float32 now, and judged by the loss of the segments; the quickstart's command overrides its recipe.
    if not earlier["recipe"].endswith(("paper.yaml", "spoken_words.yaml")):
        names = ("source", "data_dir", "output_dir", "num_epochs", *OVERRIDDEN.get(path.stem, ()))
        changes = {name: earlier[name] for name in names}
        Recipe.load(earlier["recipe"], synthetic=earlier.get("synthetic", False), **changes).check_same_run(earlier)


@pytest.mark.parametrize(
    "pretrained, base_model", [("org/model", "org/model"), (None, None), ("runs/x/y", None), ("tests/training", None)]
)
def test_base_model_is_an_id_of_the_hub(pretrained, base_model, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    assert Recipe(data_dir="data", output_dir="run", pretrained=pretrained).base_model == base_model


def test_overrides_of_the_network(tmp_path):
    recipe = parse_recipe([*REQUIRED, "--model_kwargs", "se_ratio=16", "multi_level=true", "--seed=1"])
    assert recipe.model_kwargs == {"se_ratio": 16, "multi_level": True}
    config = recipe.create_config(["a", "b"], "single_label_classification")
    assert (config.se_ratio, config.multi_level, config.labels) == (16, True, ["a", "b"])
    assert Recipe(**json.loads(json.dumps(asdict(recipe)))) == recipe
    path = tmp_path / "recipe.yaml"
    path.write_text("model_kwargs: {se_ratio: 16, multi_level: true, num_blocks: null}\nseed: 1")
    assert replace(Recipe.load(path, data_dir="data", output_dir="run"), recipe=None) == recipe
    changed = parse_recipe([f"--recipe={path}", *REQUIRED, "--model_kwargs", "se_ratio=4"])
    assert changed.model_kwargs == {"se_ratio": 4, "multi_level": True}

    recipe.check_same_run(asdict(recipe))
    recipe.check_same_run({**asdict(Recipe(data_dir="data", output_dir="run", seed=1)), **asdict(recipe)})
    with pytest.raises(RecipeError, match="trained with --model_kwargs {}, not {'se_ratio': 16"):
        recipe.check_same_run({"data_dir": "data", "seed": 1})


@pytest.mark.parametrize("text", ["model_kwargs: [1]", "model_kwargs: {a: [1]}", "model_kwargs: &a {se_ratio: *a}"])
def test_overrides_are_plain_values(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match="must be (a mapping|an integer); got|cannot read"):
        parse_recipe([f"--recipe={path}", *REQUIRED])


@pytest.mark.parametrize("path", ["nowhere.yaml", "/dev/zero", "large.yaml", "pipe"])
def test_files_that_are_no_recipe(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    Path("large.yaml").write_text("#" * 2**21)
    os.mkfifo("pipe")
    with pytest.raises(RecipeError, match="not a file of at most 1 MiB"):
        parse_recipe([f"--recipe={path}", *REQUIRED])
