from training.experiments.tables.table_3 import Table3


def test_alphas(paper_task):
    task = paper_task("magnatagatune")
    networks = Table3(alphas=True).networks(task)
    configs = [network.recipe(task).create_config(["a", "b"], "multi_label_classification") for network in networks]
    assert {config.se_ratio for config in configs} == {2.0**exponent for exponent in range(-4, 5)}
    assert len({network.name for network in networks}) == len(networks) == 8 + 6
