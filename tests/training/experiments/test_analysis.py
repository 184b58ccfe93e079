"""The trained networks of an analysis, and the clips that they are analyzed with."""

import re

import pytest


@pytest.mark.slow
def test_the_fold_held_out(analyze, on_tones, tones, folds, tmp_path):
    options = [option for option in on_tones if not option.startswith(("--runs_dir", "--cache_dir", "--threads"))]
    result = analyze("figure_8", *options, "--folds")
    assert "on 21 clips of the validation split of tones" in result["what"]  # the first fold
    network = tmp_path / "experiments" / "tones" / "se-8-fold1"
    assert list(network.parent.iterdir()) == [network]  # the other folds were not trained
    # results.json does not have the location of the data on this machine.
    message = f"{network} was trained on tones, which is not here: give its location with --data_dir"
    with pytest.raises(SystemExit, match=re.escape(message)):
        analyze("figure_9", str(network))
    result = analyze("figure_9", str(network), f"--data_dir={tones}")
    assert "on 21 clips of the validation split of tones" in result["what"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["figure_8", "--tasks=dcase2017"], "--tasks is for networks that are trained here: leave it out with MODEL"),
        (["figure_8", "--folds"], "--folds is for networks that are trained here: leave it out with MODEL"),
        (["figure_8", "--source=folder"], "--data_dir is missing"),
        (["figure_8", "--data_dir=missing"], "missing is not a folder: give the folder that holds the data"),
        (["figure_10", "--max_clips=0"], "--max_clips must be at least 1; got 0"),
        (["figure_7", "--data_dir=missing"], "--data_dir is for networks that are trained here"),
    ],
)
def test_wrong_options(options, message, save_model, refused):
    name, *options = options
    refused(name, save_model(), *options, message=message)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"variant": "test-basic"}, "has basic blocks, which have no excitations: give a network with se, rese1 or"),
        ({"results": False}, "net has no results.json that names its data: give --source and --data_dir"),
        ({"labels": ["high", "middle", "low"]}, "are not those of"),
    ],
)
def test_networks_that_cannot_be_analyzed(model, message, save_model, refused):
    refused("figure_8", save_model(**model), message=message)


def test_names_of_networks(save_model, tmp_path, refused):
    twice = [save_model("a/net"), save_model("b/net")]
    refused("figure_8", *twice, message="two models have the name net")
    refused("figure_8", str(tmp_path / "none"), message="there is no model in")
