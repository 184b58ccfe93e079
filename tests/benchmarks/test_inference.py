import pytest

from benchmarks import inference
from samplecnn_hf import create_config
from samplecnn_hf.export import export_model

pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")
pytest.importorskip("onnxscript", reason="needs the extra `onnx`")


def test_work_of_the_9_block_network():
    assert inference.convolution_gflop() == pytest.approx(3.456, abs=0.001)


def test_a_model_is_required(capsys):
    with pytest.raises(SystemExit):
        inference.main([])
    assert "a model is required" in capsys.readouterr().err


def test_results(results, call_directly, monkeypatch, pretrained, write_tone, tmp_path):
    monkeypatch.setattr(inference, "VARIANT", "test-se")
    monkeypatch.setattr(inference, "BATCH_SIZES", (1, 2))
    monkeypatch.setattr(inference, "PLOTTED_SIZES", (1, 2))
    monkeypatch.setattr(inference, "RESULTS", tmp_path)
    monkeypatch.setattr(inference, "SECONDS", 0.01)
    monkeypatch.setattr(inference, "ROUNDS", 1)
    monkeypatch.setattr(inference, "PEERS", ("Whisper-tiny encoder",))
    monkeypatch.setattr(inference, "RUNTIMES", {"runtime, onnxruntime int8": ("onnx", "int8")})
    monkeypatch.setattr(inference.torch, "compile", lambda model, fullgraph: model)
    call_directly(inference)
    export_model(pretrained)
    recordings = pretrained.parent / "recordings"
    recordings.mkdir()
    write_tone("recordings/a.wav", seconds=0.3)
    inference.main([str(pretrained), "--calibration", str(recordings)])
    written = results("inference")
    assert written["samples"] == create_config("test-se").segment_length
    assert set(written["cpu"]) == set(inference.implementations({"runtime, onnxruntime int8": ""}))
    for values in written["cpu"].values():
        assert all(speed > 0 for speed in values["segments_per_second"].values())
        assert set(values["peak_memory_mb"]) == {"1", "2"}
    assert written["cpu"][inference.BASELINE]["ratio_to_plain_float32"] == {"1": 1.0, "2": 1.0}
    assert written["convolution_limit"]["bf16"]["gflop_per_second"] > 0
    assert set(written["cold_start_seconds"]) == set(inference.COLD_STARTS)
    assert written["gpu"] == "untested" or inference.torch.cuda.is_available()
    assert set(written["cpu"]["ours, bf16, optimized"]["fraction_of_limit"]) == {"1", "2"}
    inference.main(["--plot", str(tmp_path / "speed.png")])
    assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")
