import json

import pytest
from huggingface_hub import ModelCard

from samplecnn_hf import SampleCNNConfig
from training.data import SOURCES
from training.hub_folder import markdown_table, without_local_paths, write_hub_folder

SINGLE_LABEL = {
    "metrics": {
        "validation": {"loss": 0.5, "accuracy": 0.75, "accuracy@0.5": 0.5, "f1_macro": 0.7},
        "test": {"loss": 0.6, "accuracy": 0.71234567, "accuracy@0.5": 0.45, "f1_macro": 0.65},
    },
    "interval": {"validation": [0.7, 0.8], "test": [0.68, 0.74]},
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
    "interval": {"validation": None},
    "per_label": {
        "validation": [
            {"label": "guitar", "positives": 3, "roc_auc": 0.9, "f1@tuned": 0.8, "threshold": 0.25},
            {"label": "flute", "positives": 0, "roc_auc": None, "f1@tuned": None, "threshold": 0.5},
        ]
    },
    "unscored_labels": {"validation": ["flute"]},
}

RECIPE = {
    "output_dir": "runs/mine",
    "data_dir": "sounds/birds",
    "license": "mit",
    "data_license": None,
    "variant": "se-8",
    "pretrained": None,
    "do_normalize": False,
    "learning_rate": 0.01,
    "seed": 7,
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
            "recipe": {**RECIPE, **recipe},
            "source": source,
            "metric": "accuracy",
            "synthetic": synthetic,
            "clips": {"train": 36, **{split: 12 for split in scores["metrics"]}},
            "clips_left_out": {"train": 3, **{split: 0 for split in scores["metrics"]}},
            "parameters": 1234567,
            "giga_macs": 0.6451,
            "segments_per_second": 55.5,
            "kept_epoch": 2,
            "training_seconds": training_seconds,
            "mixed_precision": "no",
            "hardware": "cpu",
            "versions": {"torch": "2.13.0"},
            "history": [{}, {}, {}],
            **scores,
        }
        write_hub_folder(tmp_path, make_model("test-se", thresholds=thresholds), tiny_extractor, results)
        saved = json.loads((tmp_path / "results.json").read_text())
        assert saved == without_local_paths(results) and saved["metrics"] == results["metrics"]
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
    assert {result.dataset_name for result in card.data.eval_results} == {"birds"}
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
    assert {result.dataset_name for result in card.data.eval_results} == {"Synthetic folder"}


def test_scores_on_a_stand_in_are_not_filed_under_the_data_set(write):
    card = write(SINGLE_LABEL, source="speech_commands", synthetic=True)
    assert {result.dataset_type for result in card.data.eval_results} == {"Synthetic speech_commands"}
    assert card.data.datasets is None


def test_data_of_the_hub_are_named(write):
    card = write(SINGLE_LABEL, source="hub", data_dir="org/name:config")
    assert {result.dataset_type for result in card.data.eval_results} == {"org/name"}
    assert card.data.datasets == ["org/name"]
    assert "<https://huggingface.co/datasets/org/name>" in card.text


def test_data_in_a_local_folder_are_not_said_to_be_on_the_hub(write, tmp_path):
    card = write(SINGLE_LABEL, source="hub", data_dir=str(tmp_path))
    assert card.data.datasets is None and "huggingface.co/datasets" not in card.text


def test_a_fold_of_a_folder(write):
    assert {result.dataset_name for result in write(SINGLE_LABEL, source="folder-fold1").data.eval_results} == {
        "birds"
    }


def test_licences_of_weights_and_data(write):
    card = write(SINGLE_LABEL, data_license="CC BY 3.0")
    assert card.data.license == "mit"
    assert "Licence of the data: CC BY 3.0. Licence of these weights: mit." in card.text
    assert "Licence of the data: not stated here" in write(SINGLE_LABEL).text
    assert "Licence of the data: CC BY 4.0." in write(SINGLE_LABEL, source="speech_commands").text


@pytest.mark.parametrize("name", sorted(set(SOURCES) - {"folder", "hub"}))
def test_every_data_set_known_by_name_is_described(write, name):
    card = write(MULTI_LABEL, source=name)
    assert "not stated here" not in card.text and card.text.count("```bibtex\n@") == 2


@pytest.mark.parametrize(
    "pretrained, told", [("org/model", "org/model"), (None, None), ("runs/x/y", None), ("tests/training", None)]
)
def test_base_model_is_an_id_of_the_hub(write, pretrained, told):
    assert write(SINGLE_LABEL, pretrained=pretrained).data.base_model == told


def test_score_of_the_paper_stands_beside(write):
    card = write(SINGLE_LABEL, source="speech_commands", variant="se-8")
    assert "The paper reports accuracy 0.9395 for `se-8` on the test split of speech_commands" in card.text
    assert "another data set" not in card.text
    assert "another data set" in write(SINGLE_LABEL, source="speech_commands", synthetic=True).text
    assert "The paper reports" not in write(SINGLE_LABEL, source="magnatagatune-26k", variant="se-9").text
    assert "The paper reports" not in write(SINGLE_LABEL, source="speech_commands", do_normalize=True).text


def test_spread_size_and_splits(write):
    text = write(SINGLE_LABEL).text
    assert "95 % bootstrap interval of accuracy over the test clips: 0.6800 to 0.7400." in text and "(seed 7)" in text
    assert "| weights | 4.9 MB in float32 |" in text and "| 0.645 x 10^9 |" in text and "| 55.5 (cpu) |" in text
    assert "| train | 36 | 3 |" in text


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
