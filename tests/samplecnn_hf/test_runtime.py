"""`samplecnn_hf.runtime` answers as the pipeline does, without torch and transformers."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

from samplecnn_hf import SampleCNNAudioClassificationPipeline, SampleCNNFeatureExtractor, runtime
from samplecnn_hf.export import export_model
from samplecnn_hf.runtime import Runtime

pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")
onnx = pytest.importorskip("onnx", reason="needs the extra `onnx`")
pytest.importorskip("onnxscript", reason="needs the extra `onnx`")

EXTRACTOR = {"segment_length": 1458, "do_normalize": True, "hop_length": 700, "sampling_rate": 16000}
LABELS = ["a", "b", "c"]


@pytest.fixture(scope="module", params=["onnx", "openvino"])
def exported(request, tmp_path_factory, make_model):
    """Folder of a multi-label model, and its exported file."""
    if request.param == "openvino":
        pytest.importorskip("openvino", reason="needs the extra `openvino`")
    folder = tmp_path_factory.mktemp("model")
    labels = {"id2label": dict(enumerate(LABELS)), "label2id": {name: i for i, name in enumerate(LABELS)}}
    problem = {"problem_type": "multi_label_classification", "thresholds": [0.5, 0.2, 0.9]}
    make_model("test-se", sampling_rate=16000, **labels, **problem).save_pretrained(folder)
    SampleCNNFeatureExtractor(**EXTRACTOR).save_pretrained(folder)
    return folder, export_model(folder, format=request.param)


def as_dict(answer):
    return {item["label"]: item["score"] for item in answer}


def test_answers_of_the_pipeline(exported, write_tone, make_tone, monkeypatch):
    folder, file = exported
    monkeypatch.setattr(runtime, "GROUP_SAMPLES", 3 * 1458)
    pipe, classify = SampleCNNAudioClassificationPipeline.from_pretrained(folder), Runtime(file, threads=1)
    for audio, rate in ((write_tone("a.mp3", seconds=1), None), (make_tone(seconds=0.05), 8000), (make_tone(), 44100)):
        audio = str(audio) if rate is None else audio
        for options in ({"top_k": None}, {"top_k": 2}, {"threshold": 0.4}, {"threshold": 1}, {"threshold": "tuned"}):
            expected = pipe(audio, sampling_rate=rate, **options)
            answer = classify(audio, sampling_rate=rate, **options)
            assert as_dict(answer) == pytest.approx(as_dict(expected), abs=1e-4)
            assert [item["label"] for item in answer] == [item["label"] for item in expected]


@pytest.mark.parametrize(
    ("name", "old", "new"), [("config.json", "0.2", "0.3"), ("preprocessor_config.json", "false", "true")]
)
def test_a_model_that_was_saved_again_after_the_export(exported, tmp_path, name, old, new):
    folder = tmp_path / "model"
    shutil.copytree(exported[0], folder)
    Runtime(folder)
    changed = (folder / name).read_text().replace(old, new)
    assert changed != (folder / name).read_text()
    (folder / name).write_text(changed)
    for path in (folder, folder / exported[1].relative_to(exported[0])):
        with pytest.raises(ValueError, match="is that of an earlier model in .*: run `samplecnn export .*` again"):
            Runtime(path)


def test_attributes(exported):
    classify = Runtime(exported[1])
    assert (classify.labels, classify.thresholds, classify.multi_label) == (LABELS, [0.5, 0.2, 0.9], True)
    assert (classify.sampling_rate, classify.segment_length, classify.segmenter.hop_length) == (16000, 1458, 700)
    blocks = [np.zeros(1000, np.float32), np.zeros(1000, np.float32)]
    assert classify.segment_logits(blocks).shape == (2, 3)


def test_neither_torch_nor_transformers_are_imported(exported, write_tone):
    folder, file = exported
    script = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from samplecnn_hf.runtime import Runtime; print(Runtime(sys.argv[1])(sys.argv[2])[0]['label'])"
    )
    command = [sys.executable, "-c", script, file, write_tone()]
    process = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert process.stdout.strip() in LABELS, process.stderr


def test_softmax(tmp_path, pretrained, write_tone):
    export_model(pretrained)
    answer = Runtime(pretrained)(write_tone(), top_k=None)
    assert sum(item["score"] for item in answer) == pytest.approx(1)
    expected = SampleCNNAudioClassificationPipeline.from_pretrained(pretrained)(str(write_tone()), top_k=None)
    assert as_dict(answer) == pytest.approx(as_dict(expected), abs=1e-4)
    with pytest.raises(ValueError, match="no tuned thresholds, .*: give a number"):
        Runtime(pretrained)(write_tone(), threshold="tuned")


def test_wrong_arguments(exported, write_tone):
    classify = Runtime(exported[1])
    for top_k in (0, True):
        with pytest.raises(ValueError, match="top_k must be a positive integer"):
            classify(write_tone(), top_k=top_k)
    with pytest.raises(ValueError, match="threshold must be a number from 0 to 1"):
        classify(write_tone(), threshold=2)
    with pytest.raises(ValueError, match="empty"):
        classify(np.zeros(0, np.float32), sampling_rate=16000)


def test_files_that_are_no_networks(tmp_path, exported):
    with pytest.raises(FileNotFoundError, match="run `samplecnn export"):
        Runtime(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        Runtime(tmp_path / "model.onnx")
    for name in ("damaged.onnx", "damaged.xml"):
        (tmp_path / name).write_text("no network")
    with pytest.raises(ValueError, match="cannot load .*damaged.onnx"):
        Runtime(tmp_path / "damaged.onnx")
    if exported[1].suffix == ".onnx":
        model = onnx.load(exported[1])
        del model.metadata_props[:]
        onnx.save(model, tmp_path / "other.onnx")
        with pytest.raises(ValueError, match="has no labels, .*: export the model with"):
            Runtime(tmp_path / "other.onnx")
