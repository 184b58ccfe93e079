"""Table II: networks of one size, whatever the stem."""

import pytest

from samplecnn_hf import create_config
from training.experiments.tables.table_2 import Table2
from training.loop.complexity import on_meta_device


@pytest.mark.parametrize("channels", ["restart", "keep"])
@pytest.mark.parametrize("task", ["magnatagatune", "speech_commands"])
def test_all_networks_have_the_size_of_the_default(paper_task, task, channels):
    task = paper_task(task)
    networks = Table2(channels=channels).networks(task)
    sizes = [
        on_meta_device(create_config(network.variant, **network.model_kwargs)).num_parameters() for network in networks
    ]
    default = on_meta_device(create_config(task.variant("basic"))).num_parameters()
    assert len(networks) > 5 and all(abs(size / default - 1) < 0.02 for size in sizes)
