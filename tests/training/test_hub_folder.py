import json

import pytest
from huggingface_hub import ModelCard

from samplecnn_hf import SampleCNNConfig
from training.hub_folder import markdown_table, write_hub_folder

SINGLE_LABEL = {
    "metrics": {
        "validation": {"loss": 0.5, "accuracy": 0.75, "accuracy@0.5": 0.5, "f1_macro": 0.7},
        "test": {"loss": 0.6, "accuracy": 0.71234567, "accuracy@0.5": 0.45, "f1_macro": 0.65},
    },
    "per_label": {
        "validation": [{"label": "validation only", "clips": 4, "precision": 1.0, "recall": 1.0, "f1": 1.0}],
        "test": [
            {"label": "yes", "clips": 9, "precision": 0.875, "recall": 1.0, "f1": 0.9333333},
            {"label": "no|nope", "clips": 0, "precision": None, "recall": None, "f1": None},
        ],
    },
    "confusion_matrix": {"validation": [[4, 0], [0, 0]], "test": [[9, 0], [0, 0]]},
}
MULTI_LABEL = {
    "metrics": {"validation": {"loss": 0.1, "labels_scored": 1, "f1_samples@0.1": 0.3, "f1_samples@tuned": 0.8}},
    "per_label": {
        "validation": [
            {"label": "guitar", "positives": 3, "roc_auc": 0.9, "f1@tuned": 0.8, "threshold": 0.25},
            {"label": "flute", "positives": 0, "roc_auc": None, "f1@tuned": None, "threshold": 0.5},
        ]
    },
    "unscored_labels": {"validation": ["flute"]},
}


@pytest.fixture
def write(tmp_path, make_model, tiny_extractor):
    """write(results, thresholds=None, **recipe): the card in the folder, and its text."""

    def write(
        scores: dict, thresholds=None, training_seconds=600.0, source="folder", synthetic=False, **recipe
    ) -> ModelCard:
        results = {
            "date": "2026-11-22",
            "command": "train.py",
            "recipe": {"output_dir": "runs/mine", "learning_rate": 0.01, "pretrained": None, **recipe},
            "source": source,
            "synthetic": synthetic,
            "clips": {"train": 36, **{split: 12 for split in scores["metrics"]}},
            "parameters": 1234567,
            "best_epoch": 2,
            "training_seconds": training_seconds,
            "mixed_precision": "no",
            "hardware": "cpu",
            "versions": {"torch": "2.13.0"},
            "history": [{}, {}, {}],
            **scores,
        }
        write_hub_folder(tmp_path, make_model("test-se", thresholds=thresholds), tiny_extractor, results)
        assert json.loads((tmp_path / "results.json").read_text()) == results
        return ModelCard.load(tmp_path / "README.md")

    return write


def scores_of(card: ModelCard) -> dict:
    """The scores that the Hub reads, by split and metric."""
    return {(result.dataset_split, result.metric_type): result.metric_value for result in card.data.eval_results}


def test_scores_survive_the_round_trip_through_the_card(write):
    card = write(SINGLE_LABEL)
    assert scores_of(card) == {
        ("validation", "accuracy"): 0.75,
        ("validation", "accuracy@0.5"): 0.5,
        ("validation", "f1_macro"): 0.7,
        ("test", "accuracy"): 0.7123,
        ("test", "accuracy@0.5"): 0.45,
        ("test", "f1_macro"): 0.65,
    }
    assert {result.dataset_name for result in card.data.eval_results} == {"folder"}
    assert card.data.pipeline_tag == "audio-classification"
    assert scores_of(write(MULTI_LABEL)) == {
        ("validation", "f1_samples@0.1"): 0.3,
        ("validation", "f1_samples@tuned"): 0.8,
    }


def test_card_of_a_single_label_model(write):
    text = write(SINGLE_LABEL).text
    assert (
        "\n\n| metric | validation | test |\n| --- | --- | --- |\n| clips | 12 | 12 |\n| loss | 0.5000 | 0.6000 |\n"
        "| accuracy | 0.7500 | 0.7123 |\n"
    ) in text
    assert "Scores on the test split:" in text and "validation only" not in text
    assert "| yes | 9 | 0.8750 | 1.0000 | 0.9333 |\n| no\\|nope | 0 | – | – | – |\n" in text
    assert "| learning_rate | 0.01 |" in text
    for absent in ("tuned", "Not scored", "ynthetic", "\n\n\n"):
        assert absent not in text


def test_card_of_a_multi_label_model(write):
    text = write(MULTI_LABEL, thresholds=[0.25, 0.5]).text
    assert "| labels_scored | 1 |\n| f1_samples@0.1 | 0.3000 |" in text
    assert "Scores on the validation split:" in text
    assert "| guitar | 3 | 0.9000 | 0.8000 | 0.2500 |\n| flute | 0 | – | – | 0.5000 |\n" in text
    assert "\nNot scored on the validation split, where no clip has them or all clips do: flute.\n" in text
    assert '\nclassifier("clip.wav", threshold="tuned")' in text
    assert "\n\n\n" not in text


def test_thresholds_are_in_the_model(write, tmp_path):
    write(MULTI_LABEL, thresholds=[0.25, 0.5])
    assert SampleCNNConfig.from_pretrained(tmp_path).thresholds == [0.25, 0.5]


def test_scores_on_synthetic_data_say_so(write):
    card = write(SINGLE_LABEL, synthetic=True)
    assert "\n**Synthetic data**" in card.text
    assert {result.dataset_name for result in card.data.eval_results} == {"folder (synthetic data)"}


def test_data_of_the_hub_are_named(write):
    card = write(SINGLE_LABEL, source="hub", data_dir="org/name:config")
    assert {result.dataset_type for result in card.data.eval_results} == {"org/name"}


@pytest.mark.parametrize("seconds, told", [(3.4, "3 seconds"), (119.0, "119 seconds"), (150.0, "2 minutes")])
def test_training_time(write, seconds, told):
    assert f"in {told} (cpu" in write(SINGLE_LABEL, training_seconds=seconds).text


def test_table():
    rows = [{"label": "a|b", "clips": 3, "f1": 1 / 3}, {"label": "c", "clips": 0, "f1": None}]
    assert markdown_table(rows).splitlines() == [
        "| label | clips | f1 |",
        "| --- | --- | --- |",
        "| a\\|b | 3 | 0.3333 |",
        "| c | 0 | – |",
    ]
