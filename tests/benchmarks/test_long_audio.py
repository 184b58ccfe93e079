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
    assert all(written[name]["seconds"] > 0 for name in ("pipeline", "runtime", "command line"))


def test_memory_is_that_above_a_clip():
    """A classifier that takes 40 MB for a clip and 100 MB for a long file."""

    def load(model):
        return lambda path: b"x" * ({"clip.wav": 40, "noise.wav": 100}[path] * 2**20)

    assert long_audio.measure(load, "model", "clip.wav", "noise.wav")["mb"] == pytest.approx(100, abs=5)
