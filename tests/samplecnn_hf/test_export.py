"""An ONNX file answers as PyTorch does, whatever the network, for any number of clips and segments."""

import copy
import json
import logging
import os
import sys
from pathlib import Path

import pytest
import torch

from samplecnn_hf import SampleCNNFeatureExtractor, SampleCNNModel, export, list_variants
from samplecnn_hf.export import export_model
from samplecnn_hf.runtime import Runtime
from tests.conftest import with_labels

onnx = pytest.importorskip("onnx", reason="needs the extra `onnx`")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")
pytest.importorskip("onnxscript", reason="needs the extra `onnx`")

MULTI_LABEL = {"problem_type": "multi_label_classification"}
OTHERS = {
    "multi-label": ("test-se", MULTI_LABEL),
    "multi-level": ("test-basic", {"multi_level": True}),
    "pooled stem": ("test-basic", {"num_strided_convolutions": 0}),
    "strided": ("test-res2", {"num_strided_convolutions": 6}),
    "long stem": ("test-se", {"stem_kernel_size": 27, "stem_stride": 9, "num_blocks": 4}),
    "mel": ("test-se", {"front_end": "mel", "stem_kernel_size": 243, "stem_stride": 81, "num_blocks": 2}),
}
NETWORKS = {**{name: (name, {}) for name in list_variants() if name.startswith("test-")}, **OTHERS}


@pytest.fixture
def save(tmp_path, make_model):
    """save(variant, **overrides) -> the model, in tmp_path/model with a feature extractor."""

    def save(variant="test-basic", segment_length=1458, **overrides):
        model = make_model(variant, **{"num_labels": 4} | overrides if "id2label" not in overrides else overrides)
        model.save_pretrained(tmp_path / "model")
        SampleCNNFeatureExtractor(segment_length=segment_length).save_pretrained(tmp_path / "model")
        return model

    return save


def run(path, input_values: torch.Tensor, mask: torch.Tensor | None = None) -> list[torch.Tensor]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    mask = torch.ones(input_values.shape[:2], dtype=torch.int64) if mask is None else mask
    inputs = {"input_values": input_values.numpy(), "attention_mask": mask.numpy()}
    return [torch.from_numpy(output) for output in session.run(["logits", "segment_logits"], inputs)]


def assert_same_answers(path, model, generator, segment_length=1458):
    for batch, segments in ((1, 1), (1, 5), (4, 2)):
        clips = torch.randn(batch, segments, segment_length, generator=generator)
        mask = torch.ones(batch, segments, dtype=torch.int64)
        mask[1:, 1:] = 0
        with torch.no_grad():
            expected = model(clips, mask)
        logits, segment_logits = run(path, clips, mask)
        torch.testing.assert_close(logits, expected.logits, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(segment_logits, expected.segment_logits, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_answers_as_in_pytorch(tmp_path, save, generator, name):
    variant, overrides = NETWORKS[name]
    model = save(variant, **overrides)
    assert_same_answers(export_model(tmp_path / "model"), model, generator)


def test_one_file_where_hub_tools_look_for_it(tmp_path, save, generator, capfd, caplog):
    model = save("test-se", segment_length=1600)
    with caplog.at_level(logging.WARNING, logger="torch.onnx"):
        path = export_model(str(tmp_path / "model"))
    assert path == tmp_path / "model" / "onnx" / "model.onnx"
    assert [file.name for file in path.parent.iterdir()] == ["model.onnx"]
    assert not caplog.records and not capfd.readouterr().out

    graph = onnx.load(path).graph
    shapes = {
        value.name: [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in [*graph.input, *graph.output]
    }
    assert shapes == {
        "input_values": ["batch", "segments", 1600],
        "attention_mask": ["batch", "segments"],
        "logits": ["batch", 4],
        "segment_logits": ["batch", "segments", 4],
    }
    assert "Gather" not in {node.op_type for node in graph.node}  # of every sample of the waveform, by its number
    assert_same_answers(path, model, generator, segment_length=1600)


def test_no_local_path_is_in_the_file(tmp_path, save):
    save("test-rese2")
    content = export_model(tmp_path / "model").read_bytes()
    for place in (Path(export.__file__).parent, Path(torch.__file__).parent, tmp_path):
        assert os.fsencode(place) not in content


@pytest.fixture
def quick_export(monkeypatch):
    """Stands in for the conversion."""
    monkeypatch.setattr(export, "_export", lambda model, segment_length, metadata: b"onnx")
    monkeypatch.setattr(export, "Runtime", lambda path: None)
    monkeypatch.setattr(export, "_compare", lambda runtime, model: None)


def test_nothing_is_written_through_links(tmp_path, save, quick_export):
    save()
    outside, folder = tmp_path / "outside", tmp_path / "model" / "onnx"
    outside.mkdir()
    (outside / "mine").write_text("precious")
    folder.symlink_to(outside)
    with pytest.raises(ValueError, match="model/onnx is a link to outside of .*: remove it"):
        export_model(tmp_path / "model")
    folder.unlink()
    folder.mkdir()
    for name in ("model.onnx", "model.onnx.unfinished", "model.onnx.new", "model.onnx.tmp"):
        (folder / name).symlink_to(outside / "mine")
    assert export_model(tmp_path / "model").read_bytes() == b"onnx"
    assert not (folder / "model.onnx").is_symlink()
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"mine": "precious"}


def test_a_folder_that_is_itself_reached_by_a_link(tmp_path, save, quick_export):
    save()
    (tmp_path / "latest").symlink_to("model")
    export_model(tmp_path / "latest")
    assert (tmp_path / "model" / "onnx" / "model.onnx").read_bytes() == b"onnx"


@pytest.mark.slow
def test_logits_of_a_sure_multi_label_network_are_finite_and_exact(tmp_path, save, generator):
    model = save("test-basic", **MULTI_LABEL)
    model.classifier.out_proj.weight.data.mul_(100)
    model.save_pretrained(tmp_path / "model")
    clips = torch.randn(2, 3, 1458, generator=generator)
    with torch.no_grad():
        expected = model(clips).logits
    assert expected.abs().max() > 100
    logits, _ = run(export_model(tmp_path / "model"), clips)
    torch.testing.assert_close(logits, expected, atol=1e-3, rtol=1e-4)


@pytest.mark.slow
def test_bf16_weights_are_exported_in_float32(tmp_path, save):
    save().to(torch.bfloat16).save_pretrained(tmp_path / "model")
    output = export_model(tmp_path / "model", output=tmp_path / "here" / "network.onnx")
    assert output == tmp_path / "here" / "network.onnx"
    assert {x.data_type for x in onnx.load(output).graph.initializer if "weight" in x.name} == {onnx.TensorProto.FLOAT}


@pytest.mark.slow
def test_a_network_that_answers_otherwise_is_not_written(tmp_path, save, monkeypatch):
    save()
    (tmp_path / "model" / "onnx").mkdir()
    (tmp_path / "model" / "onnx" / "model.onnx").write_text("the one before")
    export_graph = export._export

    def export_another(model, segment_length, metadata):
        other = copy.deepcopy(model)
        other.classifier.out_proj.bias.data[0] += 0.1
        return export_graph(other, segment_length, metadata)

    monkeypatch.setattr(export, "_export", export_another)
    with pytest.raises(RuntimeError, match="differ from PyTorch's by 0.0"):
        export_model(tmp_path / "model")
    assert (tmp_path / "model" / "onnx" / "model.onnx").read_text() == "the one before"


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_missing_extra(tmp_path, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=rf"needs {missing}: pip install 'samplecnn-hf\[onnx\]'"):
        export_model(tmp_path)


def test_a_hub_id_needs_a_place_to_write_to():
    with pytest.raises(ValueError, match="someone/network is not a local folder: give the file to write, output=..."):
        export_model("someone/network")


def test_output_that_is_a_folder(tmp_path, save):
    save()
    with pytest.raises(ValueError, match="is a folder: give the file to write"):
        export_model(tmp_path / "model", output=tmp_path)


def test_a_body_without_a_classifier(tmp_path, make_model, tiny_extractor):
    make_model(model_class=SampleCNNModel).save_pretrained(tmp_path)
    tiny_extractor.save_pretrained(tmp_path)
    with pytest.raises(OSError, match="no trained classifier"):
        export_model(tmp_path)
    assert not (tmp_path / "onnx").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"format": "tflite"}, "format must be one of onnx, openvino"),
        ({"dtype": "int4"}, "dtype must be one of float32, bfloat16, int8"),
        ({"dtype": "bfloat16"}, "onnxruntime does not compute bfloat16 on a CPU: export to OpenVINO"),
        ({"dtype": "int8"}, "int8, and no other dtype, needs"),
        ({"calibration": "."}, "int8, and no other dtype, needs"),
        ({"dtype": "int8", "calibration": "nowhere"}, "there is no folder nowhere"),
        ({"output": "model.bin"}, "model.bin must end in .onnx"),
    ],
)
def test_wrong_arguments(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        export_model(tmp_path, **arguments)


def test_int8_needs_audio(tmp_path, save):
    save()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="there are no audio files"):
        export_model(tmp_path / "model", dtype="int8", calibration=tmp_path / "empty")
    assert not (tmp_path / "model" / "onnx").exists()


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_int8_and_its_report(tmp_path, save, write_tone, format):
    if format == "openvino":
        pytest.importorskip("openvino", reason="needs the extra `openvino`")
    save("test-se", **with_labels(["high", "low", "loud", "quiet"]))
    for label, frequency in {"high": 1000, "low": 200}.items():
        (tmp_path / label).mkdir()
        for i in range(4):
            write_tone(f"{label}/{i}.wav", frequency=frequency * (1 + i / 10), seconds=0.2)
    calibration = tmp_path / "clips"
    calibration.mkdir()
    for label in ("high", "low"):
        (tmp_path / label).rename(calibration / label)
    path = export_model(tmp_path / "model", format=format, dtype="int8", calibration=calibration)
    assert path == tmp_path / "model" / format / f"model.int8{export.FORMATS[format]}"
    report = json.loads(path.with_suffix(".json").read_text())
    assert (report["clips"], report["segments"]) == (8, 32)
    assert 0 < report["max_probability_difference"] < 0.1
    assert set(report["accuracy"]) == {"float32", "int8"}
    scores, exact = (
        {item["label"]: item["score"] for item in Runtime(file)(calibration / "high" / "0.wav", top_k=None)}
        for file in (path, export_model(tmp_path / "model"))
    )
    assert scores == pytest.approx(exact, abs=0.1) and scores != exact
    if format == "onnx":
        types = [node.op_type for node in onnx.load(path).graph.node]
        assert "QuantizeLinear" in types and "BatchNormalization" not in types
