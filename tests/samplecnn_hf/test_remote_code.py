"""Folders on the Hub work where nobody has heard of this package: their code travels with them."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForAudioClassification, pipeline

import samplecnn_hf
from samplecnn_hf import (
    SampleCNNAudioClassificationPipeline,
    SampleCNNConfig,
    SampleCNNFeatureExtractor,
    SampleCNNForAudioClassification,
    SampleCNNModel,
)

PACKAGE = Path(samplecnn_hf.__file__).parent
HUB_FILES = [
    "audio_samplecnn.py",
    "configuration_samplecnn.py",
    "containers_samplecnn.py",
    "events_samplecnn.py",
    "feature_extraction_samplecnn.py",
    "inference_samplecnn.py",
    "layers_samplecnn.py",
    "modeling_samplecnn.py",
    "pipeline_samplecnn.py",
    "segments_samplecnn.py",
    "windows_samplecnn.py",
]

STRANGER = """
import sys
sys.modules["samplecnn_hf"] = None  # installed or not: `import samplecnn_hf` raises ImportError

import json
import shutil

import numpy as np
import torch
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForAudioClassification, pipeline

assert shutil.which("ffmpeg") is None
trust = {"trust_remote_code": True}


def load_classifier(folder, save_to, clip, *files):
    config = AutoConfig.from_pretrained(folder, **trust)
    body = AutoModel.from_pretrained(folder, **trust)
    model = AutoModelForAudioClassification.from_pretrained(folder, **trust)
    extractor = AutoFeatureExtractor.from_pretrained(folder, **trust)
    features = extractor(np.load(clip), sampling_rate=44100, return_tensors="pt")
    classify = pipeline("audio-classification", model=folder, **trust)
    tuned = AutoModelForAudioClassification.from_pretrained(
        folder, num_labels=3, ignore_mismatched_sizes=True, **trust
    )
    with torch.no_grad():
        result = {
            "modules": sorted({type(x).__module__.split(".")[0] for x in (config, body, model, extractor, classify)}),
            "labels": list(config.id2label.values()),
            "logits": model(**features).logits.tolist(),
            "embedding": body(**features).pooler_output.tolist(),
            "answers": [classify(file, top_k=None) for file in files],
            "default_top_k": len(classify(files[0])),
            "in_a_list": classify(list(files), batch_size=2, top_k=None),
            "tuned": list(tuned(**features).logits.shape),
        }
    if save_to:
        model.save_pretrained(save_to)
        extractor.save_pretrained(save_to)
        classify.save_pretrained(save_to + "_by_the_pipeline")
    return result


def load_body(folder, save_to, clip):
    body = AutoModel.from_pretrained(folder, **trust)
    extractor = AutoFeatureExtractor.from_pretrained(folder, **trust)
    features = extractor(np.load(clip), sampling_rate=44100, return_tensors="pt")
    with torch.no_grad():
        result = {
            "modules": sorted({type(x).__module__.split(".")[0] for x in (body, extractor)}),
            "embedding": body(**features).pooler_output.tolist(),
        }
    if save_to:
        body.save_pretrained(save_to)
        extractor.save_pretrained(save_to)
    return result


results = [globals()[name](*arguments) for name, *arguments in json.loads(sys.argv[1])]
print(json.dumps(results))
"""


def run_stranger(tmp_path, *calls):
    """A process elsewhere, without this package, without PATH, with an empty cache. Returns one result a call."""
    home = tmp_path / f"home{len(list(tmp_path.glob('home*')))}"
    home.mkdir()
    environment = {
        **{key: os.environ[key] for key in ("OMP_NUM_THREADS", "SYSTEMROOT", "LANG") if key in os.environ},
        "PATH": "",
        "HOME": str(home),
        "HF_HOME": str(home / "huggingface"),
        "HF_HUB_OFFLINE": "1",
    }
    process = subprocess.run(
        [sys.executable, "-I", "-c", STRANGER, json.dumps(calls)],
        env=environment,
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return json.loads(process.stdout.splitlines()[-1])


@pytest.fixture
def clip(make_tone):
    """Stereo at 44.1 kHz, as (samples, channels)."""
    left, right = make_tone(440, sampling_rate=44100), make_tone(3000, sampling_rate=44100)
    return np.stack([left, right], axis=1)


@pytest.mark.slow
def test_classifier_in_a_process_without_the_package(
    tmp_path, pretrained, tiny_model, tiny_extractor, clip, write_tone
):
    np.save(tmp_path / "clip.npy", clip)
    files = [str(write_tone(name, seconds=0.5, sampling_rate=48000)) for name in ("a.wav", "b.mp3")]
    features = tiny_extractor(clip, sampling_rate=44100, return_tensors="pt")
    here = SampleCNNAudioClassificationPipeline(model=tiny_model, feature_extractor=tiny_extractor, top_k=None)
    with torch.no_grad():
        logits = tiny_model(**features).logits
        embedding = tiny_model.samplecnn(**features).pooler_output

    def check(result):
        assert result["modules"] == ["transformers_modules"]
        assert result["labels"] == list(tiny_model.config.id2label.values())
        torch.testing.assert_close(torch.tensor(result["logits"]), logits, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(torch.tensor(result["embedding"]), embedding, atol=1e-5, rtol=1e-5)
        assert result["default_top_k"] == 5
        assert result["tuned"] == [1, 3]
        for answers in (result["answers"], result["in_a_list"]):
            for answer, file in zip(answers, files, strict=True):
                expected = {item["label"]: item["score"] for item in here(file)}
                assert {item["label"]: item["score"] for item in answer} == pytest.approx(expected, abs=1e-5)

    again = str(tmp_path / "again")
    arguments = [str(tmp_path / "clip.npy"), *files]
    (first,) = run_stranger(tmp_path, ("load_classifier", str(pretrained), again, *arguments))
    check(first)
    # what that process saved is as good, in a third process
    second, by_the_pipeline = run_stranger(
        tmp_path,
        ("load_classifier", again, None, *arguments),
        ("load_classifier", f"{again}_by_the_pipeline", None, *arguments),
    )
    check(second)
    check(by_the_pipeline)


@pytest.mark.slow
def test_body_in_a_process_without_the_package(tmp_path, tiny_model, tiny_extractor, clip):
    folder, again = tmp_path / "body", tmp_path / "again"
    tiny_model.samplecnn.save_pretrained(folder)
    tiny_extractor.save_pretrained(folder)
    np.save(tmp_path / "clip.npy", clip)
    with torch.no_grad():
        features = tiny_extractor(clip, sampling_rate=44100, return_tensors="pt")
        embedding = tiny_model.samplecnn(**features).pooler_output
    for source, save_to in [(str(folder), str(again)), (str(again), None)]:
        (result,) = run_stranger(tmp_path, ("load_body", source, save_to, str(tmp_path / "clip.npy")))
        assert result["modules"] == ["transformers_modules"]
        torch.testing.assert_close(torch.tensor(result["embedding"]), embedding, atol=1e-5, rtol=1e-5)


def test_where_the_package_is_imported_no_trust_is_needed(pretrained):
    expected = {
        AutoConfig: SampleCNNConfig,
        AutoFeatureExtractor: SampleCNNFeatureExtractor,
        AutoModel: SampleCNNModel,
        AutoModelForAudioClassification: SampleCNNForAudioClassification,
    }
    for auto_class, its_class in expected.items():
        assert type(auto_class.from_pretrained(pretrained)) is its_class


def test_pipeline_where_the_package_is_imported(
    tmp_path, pretrained, monkeypatch, write_tone, tiny_model, tiny_extractor
):
    file = str(write_tone("tone.mp3"))
    here = SampleCNNAudioClassificationPipeline(model=tiny_model, feature_extractor=tiny_extractor)
    monkeypatch.setenv("PATH", "")  # no ffmpeg
    expected = here(file)
    trusted = pipeline("audio-classification", model=str(pretrained), trust_remote_code=True)
    explicit = pipeline(
        "audio-classification",
        model=tiny_model,
        feature_extractor=tiny_extractor,
        pipeline_class=SampleCNNAudioClassificationPipeline,
    )
    for pipe in (trusted, explicit):
        answer = pipe(file)
        assert [item["label"] for item in answer] == [item["label"] for item in expected]
        assert [item["score"] for item in answer] == pytest.approx([item["score"] for item in expected], abs=1e-5)


@pytest.mark.parametrize("model_class", [SampleCNNForAudioClassification, SampleCNNModel])
def test_model_and_feature_extractor_save_all_of_the_code(tmp_path, make_model, tiny_extractor, model_class):
    make_model(model_class=model_class).save_pretrained(tmp_path)
    tiny_extractor.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.glob("*.py")} == set(HUB_FILES)
    for name in HUB_FILES:
        assert (tmp_path / name).read_bytes() == (PACKAGE / name).read_bytes()
    config = json.loads((tmp_path / "config.json").read_text())
    assert set(config["auto_map"]) == {
        "AutoConfig",
        "AutoFeatureExtractor",
        "AutoModel",
        "AutoModelForAudioClassification",
    }
    for target in [*config["auto_map"].values(), config["custom_pipelines"]["audio-classification"]["impl"]]:
        module, name = target.split(".")
        assert f"\nclass {name}" in (tmp_path / f"{module}.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", HUB_FILES)
def test_imports_that_survive_the_hub(name):
    text = (PACKAGE / name).read_text(encoding="utf-8")
    siblings = {file.removesuffix(".py") for file in HUB_FILES}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            assert all(alias.name.split(".")[0] != "samplecnn_hf" for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            # with future annotations transformers finds strings where it looks for classes
            assert node.module != "__future__"
            assert (node.module or "").split(".")[0] != "samplecnn_hf"
            if node.level:
                assert node.level == 1 and node.module in siblings
    # transformers reads the text, docstrings and all: nothing may look like another import
    relative = re.findall(r"^\s*(?:from\s+\.(\S*)\s+import|import\s+\.(\S+))", text, flags=re.MULTILINE)
    assert {a or b for a, b in relative} <= siblings
