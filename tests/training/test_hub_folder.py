import json

import pytest
from huggingface_hub import ModelCard

from training import train


@pytest.fixture
def card(tiny_run, tmp_path):
    train.main(tiny_run)
    return ModelCard.load(tmp_path / "run" / "README.md")


def test_card_says_what_was_measured(card, tmp_path):
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    by_split = {(r.dataset_split, r.metric_type): r.metric_value for r in card.data.eval_results}
    assert by_split["test", "accuracy"] == pytest.approx(results["metrics"]["test"]["accuracy"], abs=1e-4)
    assert by_split["validation", "accuracy"] == pytest.approx(results["metrics"]["validation"]["accuracy"], abs=1e-4)
    assert card.data.pipeline_tag == "audio-classification"
    assert "accuracy | f1_macro |\n|---|---|---|---|---|\n| validation | 12 |" in card.text  # one table, no gaps
    assert f"| test | 12 | {results['metrics']['test']['loss']:.4f} |" in card.text
    assert "high, low, middle" in card.text
    assert "| learning_rate | 0.01 |" in card.text
