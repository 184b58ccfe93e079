"""`--pretrained` with `--freeze` and `--warm_statistics`, and the recipe that uses them."""

import json
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard

from samplecnn_hf import SampleCNNForAudioClassification
from training import train
from training.errors import RecipeError
from training.loop.training_run import TrainingRun

RECIPE = Path(__file__).parents[3] / "training" / "recipes" / "finetune.yaml"
FROZEN = ("samplecnn.front_end.", "samplecnn.blocks.0.", "samplecnn.blocks.1.")


@pytest.fixture
def options(tones, tmp_path, pretrained):
    return [
        f"--recipe={RECIPE}",
        f"--pretrained={pretrained}",
        f"--data_dir={tones}",
        f"--output_dir={tmp_path / 'tuned'}",
        f"--cache_dir={tmp_path / 'cache'}",
        "--batch_size=8",
        "--num_epochs=2",
        "--freeze=3",
    ]


def state(folder: Path) -> dict[str, torch.Tensor]:
    return SampleCNNForAudioClassification.from_pretrained(folder).state_dict()


@pytest.mark.parametrize("warm", [True, False])
def test_frozen_layers_keep_weights_and_get_the_statistics_of_the_new_clips(options, tmp_path, pretrained, warm):
    train.main([*options, f"--warm_statistics={warm}"])
    before, after = state(pretrained), state(tmp_path / "tuned")
    for name, tensor in before.items():
        if name.startswith(FROZEN) and tensor.is_floating_point():
            is_statistic = name.endswith(("running_mean", "running_var"))
            assert torch.equal(tensor, after[name]) == (not (warm and is_statistic)), name
    assert not torch.equal(before["samplecnn.blocks.4.conv.weight"], after["samplecnn.blocks.4.conv.weight"])


def test_an_interrupted_run_ends_with_the_same_weights(options, tmp_path, monkeypatch):
    train.main(options)
    whole = TrainingRun.train_epoch

    def train_epoch(run, rates):
        if run.history:
            raise KeyboardInterrupt
        return whole(run, rates)

    options = [option.replace("tuned", "again") for option in options]
    with monkeypatch.context() as context:
        context.setattr(TrainingRun, "train_epoch", train_epoch)
        with pytest.raises(SystemExit, match="--resume"):
            train.main(options)
    train.main([*options, "--resume"])
    again = state(tmp_path / "again")
    assert all(torch.equal(tensor, again[name]) for name, tensor in state(tmp_path / "tuned").items())


def test_overlapping_segments_in_evaluation(options, tmp_path):
    with pytest.raises(SystemExit, match="^error: --hop_length must be at most 1458 for "):
        train.main([*options, "--hop_length=1459"])
    train.main([*options, "--hop_length=729", "--num_epochs=1"])
    assert json.loads((tmp_path / "tuned" / "preprocessor_config.json").read_text())["hop_length"] == 729


def test_the_hop_of_the_pretrained_network_is_recorded(options, pretrained, tmp_path):
    config = pretrained / "preprocessor_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"hop_length": 729}))
    train.main([*options, "--num_epochs=1"])
    assert json.loads((tmp_path / "tuned" / "results.json").read_text())["recipe"]["hop_length"] == 729
    train.main([*options, "--num_epochs=1", "--resume"])  # is the same run


@pytest.mark.parametrize("options_of_the_run, license", [([], "cc-by-nc-3.0"), (["--license=mit"], "mit")])
def test_the_license_is_that_of_the_pretrained_network(options, pretrained, tmp_path, options_of_the_run, license):
    (pretrained / "README.md").write_text("---\nlicense: cc-by-nc-3.0\n---\n")
    train.main([*options, "--num_epochs=1", *options_of_the_run])
    assert ModelCard.load(tmp_path / "tuned" / "README.md").data.license == license


def test_more_layers_than_there_are(options, tmp_path):
    with pytest.raises(SystemExit, match="^error: --freeze must be at most 6 for "):
        train.main([*options, "--freeze=7"])
    assert not (tmp_path / "tuned").exists()


def test_nothing_can_be_frozen_without_a_pretrained_network(tmp_path):
    with pytest.raises(RecipeError, match="give --pretrained"):
        train.parse_recipe([f"--recipe={RECIPE}", "--data_dir=data", "--output_dir=run"])
