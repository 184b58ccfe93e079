"""The options of Fig. 4, Table II and Fig. 5: what the paper leaves open about long stems."""

import pytest

from samplecnn_hf import create_config
from training.experiments import EXPERIMENTS
from training.experiments.task import PAPER_TASKS


@pytest.mark.parametrize("task", PAPER_TASKS)
@pytest.mark.parametrize("name", ["figure_4", "table_2", "figure_5"])
def test_the_other_answers(name, task, paper_task):
    """Every network is built as asked, and none shares a run with a network of the assumed answers."""
    task, experiment = paper_task(task), EXPERIMENTS[name]
    options = {"partial_frames": "pad"} if name == "figure_5" else {"channels": "keep", "partial_frames": "pad"}
    full = create_config(task.variant("basic"))
    assumed, networks = experiment().networks(task), experiment(**options).networks(task)
    assert len(networks) == len(assumed)
    assert not {network.name for network in networks} & {network.name for network in assumed}
    for network in networks:
        config = network.recipe(task).create_config(["a", "b"], "multi_label_classification")
        assert config.partial_frames == "pad"
        multiples = [channels / config.stem_channels for channels in config.block_channels]
        assert multiples == [channels / full.stem_channels for channels in full.block_channels[-config.num_blocks :]]
        if name == "table_2" and network.columns["stride"] > 3:
            assert config.stem_channels < create_config(network.variant).stem_channels
