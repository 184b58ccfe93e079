from dataclasses import replace

import pytest

from training.experiments.grid import NetworkResults
from training.experiments.tables.ablation import AS_GIVEN, Ablation
from training.experiments.task import RECIPES, Task
from training.recipe import Recipe


@pytest.fixture
def task():
    return Task(Recipe.load(RECIPES / "speech_commands" / "modern.yaml", data_dir="data", output_dir="runs"))


def test_each_network_has_one_change(task):
    base, *changed = Ablation().networks(task)
    assert base.columns == {"change": AS_GIVEN} and base.recipe(task).variant == task.recipe.variant
    assert len({network.name for network in changed}) == len(changed) > 10
    for network in changed:
        recipe = network.recipe(task)
        same = replace(recipe, output_dir=base.recipe(task).output_dir)
        assert sum(getattr(same, name) != value for name, value in vars(base.recipe(task)).items()) == 1


def test_a_change_that_the_recipe_has_is_left_out(task):
    task = Task(replace(task.recipe, equalizer=0.0, variant="se-8"))
    changes = {network.columns["change"] for network in Ablation().networks(task)}
    assert not changes & {"no equalizer", "pooling only"} and "no noise" in changes


def test_differences_from_the_recipe_as_given(task):
    networks = Ablation().networks(task)[:3]
    runs = [[{"metrics": {"test": {"accuracy": score}}}] for score in (0.9, 0.85)] + [[]]
    task.__dict__["source"] = type("Source", (), {"scored_split": "test", "metric": "accuracy"})
    table = Ablation().tables(task, list(map(NetworkResults, networks, runs)))["ablation"]
    assert [row["difference"] for row in table] == [0, pytest.approx(-0.05), None]
