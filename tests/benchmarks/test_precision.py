import numpy as np
import pytest

from benchmarks import precision
from samplecnn_hf import SampleCNNFeatureExtractor
from tests.conftest import LABELS
from training.data.source import Clip

pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")
pytest.importorskip("onnxscript", reason="needs the extra `onnx`")


def test_accuracy(write_tone):
    clips = [Clip(write_tone(seconds=0.1), (label,)) for label in (1, 1, 0, 1)]
    extractor = SampleCNNFeatureExtractor(segment_length=1000)
    assert precision.accuracy(clips, extractor, lambda segments: np.array([0.0, 1.0])) == 0.75


def test_other_labels(pretrained, write_data, capsys):
    with pytest.raises(SystemExit):
        precision.main([str(pretrained), write_data(["high", "low"])])
    assert "are not those of" in capsys.readouterr().err


def test_results(results, monkeypatch, pretrained, write_data):
    monkeypatch.setattr(precision, "FILES", {"onnxruntime, int8": ("onnx", "int8")})
    monkeypatch.setattr(precision, "CALIBRATION_CLIPS", 2)
    precision.main([str(pretrained), write_data(LABELS)])
    written = results("precision")
    assert (written["split"], written["clips"], written["calibration_clips"]) == ("validation", len(LABELS), 2)
    # All clips are the same tone, so a network is right about exactly one of them.
    assert [round(scores["accuracy"] * len(LABELS)) for scores in written["scores"].values()] == [1, 1, 1]
    assert list(written["scores"]) == ["ours, float32", "ours, bf16", "onnxruntime, int8"]
    assert all(scores["points"] == 0 for scores in written["scores"].values())
    assert written["scores"]["onnxruntime, int8"]["megabytes"] > 0
