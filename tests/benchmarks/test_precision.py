import pytest

from benchmarks import precision

pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")
pytest.importorskip("onnxscript", reason="needs the extra `onnx`")


def test_results(results, monkeypatch, pretrained, write_tone, tmp_path):
    monkeypatch.setattr(precision, "FILES", {"onnxruntime, int8": ("onnx", "int8")})
    monkeypatch.setattr(precision, "CALIBRATION_CLIPS", 2)
    for split in ("train", "validation"):
        for name in ("high", "low"):
            for i in range(2):
                (tmp_path / "data" / split / name).mkdir(parents=True, exist_ok=True)
                write_tone(f"data/{split}/{name}/{i}.wav", seconds=0.2)
    precision.main([str(pretrained), str(tmp_path / "data")])
    written = results("precision")
    assert written["split"] == "validation" and written["clips"] == 4
    assert list(written["scores"]) == ["ours, float32", "ours, bf16", "onnxruntime, int8"]
    base = written["scores"]["ours, float32"]["accuracy"]
    for scores in written["scores"].values():
        assert 0 <= scores["accuracy"] <= 1
        assert scores["points"] == pytest.approx(100 * (scores["accuracy"] - base), abs=0.01)
    assert written["scores"]["onnxruntime, int8"]["megabytes"] > 0
