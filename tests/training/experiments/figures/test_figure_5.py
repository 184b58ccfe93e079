"""Fig. 5: one network per number of strided convolutions."""

from dataclasses import replace

import pytest

from samplecnn_hf import create_config
from training.experiments.figures.figure_5 import Figure5
from training.experiments.task import Task


@pytest.mark.parametrize(("task", "most"), [("magnatagatune", 9), ("speech_commands", 8)])
def test_strided_convolutions_from_none_to_all(paper_task, task, most):
    networks = Figure5().networks(paper_task(task))
    configs = [create_config(network.variant, **network.model_kwargs) for network in networks]
    assert [config.num_strided_convolutions for config in configs] == list(range(most + 1))
    assert [network.columns["strided convolutions"] for network in networks] == list(range(most + 1))


def test_the_recipe_sets_the_number_of_blocks(paper_task):
    recipe = paper_task("speech_commands").recipe
    networks = Figure5().networks(Task(replace(recipe, model_kwargs={"num_blocks": 7})))
    assert [network.columns["strided convolutions"] for network in networks] == list(range(8))


def test_partial_frames(paper_task):
    networks = Figure5(partial_frames="pad").networks(paper_task("speech_commands"))
    assert {network.model_kwargs["partial_frames"] for network in networks} == {"pad"}
