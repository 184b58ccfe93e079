import pytest

from benchmarks import long_audio

pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")
pytest.importorskip("onnxscript", reason="needs the extra `onnx`")


def test_results(results, call_directly, monkeypatch):
    monkeypatch.setattr(long_audio, "VARIANT", "test-se")
    call_directly(long_audio)
    long_audio.main(["--seconds", "2"])
    written = results("long_audio")
    assert written["audio_seconds"] == 2
    for name in ("pipeline", "runtime"):
        assert written[name]["seconds"] > 0 and written[name]["mb"] >= 0
