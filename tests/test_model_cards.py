"""The checkpoints in model_cards/: each loads where this package is not installed, and answers as its card says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from samplecnn_hf.model_folder import check_model_folder

ROOT = Path(__file__).parents[1]
FOLDERS = sorted(path.parent for path in ROOT.glob("model_cards/*/config.json"))
MAX_WEIGHTS = 8 * 2**20  # bytes
ANSWER = """
import json
import sys

sys.modules["samplecnn_hf"] = None  # as where it is not installed
from transformers import pipeline

model, *files = sys.argv[1:]
classifier = pipeline("audio-classification", model=model, trust_remote_code=True)
print(json.dumps([classifier(file, top_k=3) for file in files]))
"""

folders = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


def read(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def test_there_are_checkpoints():
    assert FOLDERS


@pytest.mark.slow
@folders
def test_checks_before_an_upload(folder):
    assert "onnx/model.onnx" in check_model_folder(folder)


@folders
def test_answers_to_the_examples(folder, tmp_path):
    examples = read(folder)["examples"]
    assert examples and all((folder / example["file"]).is_file() for example in examples)
    files = [str(folder / example["file"]) for example in examples]
    run = subprocess.run(
        [sys.executable, "-c", ANSWER, str(folder), *files], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    for example, answers in zip(examples, json.loads(run.stdout), strict=True):
        assert [answer["label"] for answer in answers] == [answer["label"] for answer in example["predictions"]]
        assert [a["score"] for a in answers] == pytest.approx([a["score"] for a in example["predictions"]], abs=0.01)


@folders
def test_weights_and_code(folder):
    """Code that is not that of this version: python -m training.release renew model_cards/*"""
    assert (folder / "model.safetensors").stat().st_size <= MAX_WEIGHTS
    code = sorted(folder.glob("*.py"))
    assert code
    for file in code:
        assert file.read_bytes() == (ROOT / "samplecnn_hf" / file.name).read_bytes(), f"{file} is not up to date"


@folders
def test_card(folder):
    card, results = ModelCard.load(folder / "README.md"), read(folder)
    assert card.data.model_name == folder.name and f"# {folder.name}" in card.text
    assert len(card.data.widget) == len(results["examples"])
    scores = results["metrics"] or {row["name"]: {results["metric"]: row["mean"]} for row in results["compared"]}
    assert card.data.eval_results
    for result in card.data.eval_results:
        assert result.metric_value == round(scores[result.dataset_split][result.metric_type], 4)
    for row in results["compared"]:
        assert f"| {row['name']} | {row['runs']} | {row['mean']:.4f} |" in card.text
