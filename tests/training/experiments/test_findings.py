"""
The paper's findings in networks that a test can train: sections VI, VII-C and VII-D.

The networks have a few of the paper's channels. Those of loudness are trained on synthetic music, whose loudness tags
are correct. Such a small network does not show the findings with every seed.
"""

import importlib.util
from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from samplecnn_hf import SampleCNNFeatureExtractor, SampleCNNForAudioClassification
from samplecnn_hf.analysis import (
    ExcitationRecorder,
    LoudnessRelation,
    estimate_filters,
    log_likeness,
    relate_to_loudness,
)
from training.experiments.grid import Network, NetworkResults
from training.experiments.tables.table_5 import Table5, label_differences
from training.experiments.task import Task
from training.loop.run import train
from training.recipe import Recipe
from training.synthetic.music import INSTALL, write_music
from training.synthetic.speech import write_spoken_commands

pytestmark = pytest.mark.slow

NUM_CLIPS = 288  # each combination of instruments once per folder: 216 for training, 54 for testing
NETWORK = {"stem_channels": 16, "se_ratio": 0.5}
LOUDNESS_LABELS = {"loud", "quiet", "soft"}


@pytest.fixture(scope="module", autouse=True)
def accelerator_of_this_module():
    """The networks are trained before the tests' own `fresh_accelerator`."""
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def task(tmp_path_factory) -> Task:
    if not all(map(importlib.util.find_spec, ("tinysoundfont", "pretty_midi"))):
        pytest.skip(INSTALL)
    folder = tmp_path_factory.mktemp("findings")
    write_music(folder / "music", NUM_CLIPS)
    recipe = Recipe(
        source="magnatagatune",
        data_dir=str(folder / "music"),
        cache_dir=str(folder / "cache"),
        output_dir=str(folder / "runs"),
        variant="se-9",
        crop="random",
        max_segments=4,
        num_epochs=8,
        batch_size=16,
        optimizer="adamw",
        learning_rate=0.01,
        schedule="cosine",
        warmup_epochs=0.5,
        dropout=0.2,
        batch_norm_momentum=0.1,
        average_decay=0.99,
        mixed_precision="no",
        threads=1,  # the same with any number of cores
        seed=2,  # untrained, this network's excitations are hardly correlated with loudness
    )
    return Task(recipe)


@pytest.fixture(scope="module")
def trained(task) -> dict[str, NetworkResults]:
    """The networks with SE blocks of Table V, with "plain" and with "normalized" segments."""
    networks = [replace(each, model_kwargs=NETWORK) for each in Table5().networks(task) if each.variant == "se-9"]
    return {
        network.columns["input"]: NetworkResults(network, [train(network.recipe(task), task.source)])
        for network in networks
    }


@pytest.fixture(scope="module")
def relations(task, trained) -> tuple[LoudnessRelation, LoudnessRelation]:
    """Fig. 10 of the plain network on the test clips, before it was trained and after."""
    folder = trained["plain"].runs[0]["recipe"]["output_dir"]
    model = SampleCNNForAudioClassification.from_pretrained(folder)
    extractor = SampleCNNFeatureExtractor.from_pretrained(folder)
    torch.manual_seed(task.recipe.seed)
    untrained = SampleCNNForAudioClassification(model.config)
    clips = [clip.path for clip in task.source.splits["test"]]

    def relate(network) -> LoudnessRelation:
        record = ExcitationRecorder(network, extractor)
        return relate_to_loudness(record(clip, None) for clip in clips)

    return relate(untrained), relate(model)


def test_first_excitation_learns_to_fall_with_loudness(relations):
    before, after = (relation.excitation_correlations[0] for relation in relations)
    assert after < -0.6 < before


def test_channel_magnitude_rises_with_loudness_less_so_higher_up(relations):
    first, *_, sixth = relations[1].magnitude_correlations
    assert first > 0.7 and sixth < first - 0.1


def test_normalization_hurts_labels_of_loudness_most(task, trained):
    rows = label_differences(task, trained["plain"], trained["normalized"])
    assert {row["label"] for row in rows[:3]} == LOUDNESS_LABELS
    hurt = {row["label"]: row["plain - normalized"] for row in rows}
    assert fmean(hurt.pop(label) for label in LOUDNESS_LABELS) > 0.2 + fmean(hurt.values())


def test_filters_of_the_sixth_layer_are_more_log_like_than_those_of_the_first(tmp_path):
    pytest.importorskip("espeakng_loader")
    write_spoken_commands(tmp_path / "speech", num_voices=60)
    recipe = Recipe.load(
        source="speech_commands",
        variant="basic-8",
        crop="random",
        batch_size=16,
        optimizer="adamw",
        schedule="cosine",
        warmup_epochs=0.3,
        dropout=0.2,
        batch_norm_momentum=0.1,
        average_decay=0.99,
        time_shift=0.1,
        speed=0.1,
        gain=6,
        data_dir=str(tmp_path / "speech"),
        cache_dir=str(tmp_path / "cache"),
        output_dir=str(tmp_path / "runs"),
        num_epochs=12,
        learning_rate=0.01,
        # Without it, random filters for frequencies that speech lacks remain, above all 0 Hz and 7,350 Hz.
        weight_decay=1.0,
        mixed_precision="no",
        threads=1,
        seed=2,
    )
    task = Task(recipe)
    network = Network("basic-8", {}, model_kwargs={"stem_channels": 32})
    results = train(network.recipe(task), task.source)
    model = SampleCNNForAudioClassification.from_pretrained(results["recipe"]["output_dir"])
    first, sixth = (estimate_filters(model, layer) for layer in (1, 6))
    likeness = [log_likeness(layer.peak_frequencies, layer.sampling_rate) for layer in (first, sixth)]
    assert likeness[1] > likeness[0] + 0.1
    # Filters of 0 Hz alone would have a high score, too: the others must peak at the frequencies of vowels.
    others = sixth.peak_frequencies[sixth.peak_frequencies > 0]
    assert len(others) > 0.2 * len(sixth.peak_frequencies) and 100 < np.median(others) < 2000
