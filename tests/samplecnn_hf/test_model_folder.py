import json
import os
import re
import time
from pathlib import Path

import pytest
import torch

from samplecnn_hf import model_folder
from samplecnn_hf.model_folder import PublishError, check_model_folder, list_files

MODEL_FILES = [
    "README.md",
    "audio_samplecnn.py",
    "config.json",
    "configuration_samplecnn.py",
    "containers_samplecnn.py",
    "events_samplecnn.py",
    "feature_extraction_samplecnn.py",
    "inference_samplecnn.py",
    "layers_samplecnn.py",
    "model.safetensors",
    "modeling_samplecnn.py",
    "pipeline_samplecnn.py",
    "segments_samplecnn.py",
    "windows_samplecnn.py",
    "preprocessor_config.json",
]


@pytest.fixture
def folder(publishable):
    return publishable


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def edit_config(folder, **fields):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


# What a model folder must be


@pytest.mark.slow
def test_intact_folder(folder):
    (folder / "results.json").write_text("{}")
    (folder / ".env").write_text("HF_TOKEN=hf_secret")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "modeling_samplecnn.pyc").write_text("")
    assert check_model_folder(folder) == sorted([*MODEL_FILES, "results.json"])


BROKEN = {
    **{
        f"no {name}": (lambda folder, name=name: (folder / name).unlink(), f"has no {name}: give the folder")
        for name in ("model.safetensors", "config.json", "preprocessor_config.json")
    },
    "no card": (lambda folder: (folder / "README.md").unlink(), "has no README.md: write a model card"),
    **{
        f"another {suffix}": (
            lambda folder, suffix=suffix: (folder / f"weights{suffix}").write_text(""),
            f"weights{suffix} has a format that a model does not need",
        )
        for suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".PKL", ".joblib", ".zip", "")
    },
    "pickle in a folder": (
        lambda folder: (folder / "old").mkdir() or (folder / "old" / "optimizer.bin").write_text(""),
        "old/optimizer.bin has a format that a model does not need",
    ),
    "no modeling file": (
        lambda folder: (folder / "modeling_samplecnn.py").unlink(),
        "has no modeling_samplecnn.py, which config.json refers to",
    ),
    "no pipeline file": (lambda folder: (folder / "pipeline_samplecnn.py").unlink(), "has no pipeline_samplecnn.py"),
    "code elsewhere": (
        lambda folder: edit_config(folder, auto_map={"AutoConfig": "eve/x--configuration_samplecnn.SampleCNNConfig"}),
        "has no eve/x--configuration_samplecnn.py",
    ),
    "no code": (lambda folder: edit_config(folder, auto_map={}, custom_pipelines={}), "has no auto_map"),
    "config cut off": (lambda folder: (folder / "config.json").write_text("{"), "config.json is damaged"),
    "config of another shape": (lambda folder: (folder / "config.json").write_text("[]"), "config.json is damaged"),
    "weights cut off": (
        lambda folder: os.truncate(folder / "model.safetensors", 1000),
        "model.safetensors is damaged",
    ),
    "no names of labels": (
        lambda folder: edit_config(folder, id2label={str(i): f"LABEL_{i}" for i in range(7)}),
        "has a label without a name, 'LABEL_0'",
    ),
    "too few labels": (
        lambda folder: edit_config(folder, id2label={"0": "cat", "1": "dog"}),
        "needs 7 different labels",
    ),
    "the same label twice": (
        lambda folder: edit(folder / "config.json", '"dog"', '"cat"'),
        "needs 7 different labels",
    ),
    "no license": (
        lambda folder: edit(folder / "README.md", "license: apache-2.0\n", ""),
        "set license: ...",
    ),
    "another task": (
        lambda folder: edit(folder / "README.md", "pipeline_tag: audio-classification", "pipeline_tag: text-to-audio"),
        "has pipeline_tag: text-to-audio in its front matter: set pipeline_tag: audio-classification",
    ),
    "no front matter": (lambda folder: (folder / "README.md").write_text("# model\n"), "has license: None"),
    "front matter that is no YAML": (
        lambda folder: (folder / "README.md").write_text("---\nlicense: [\n---\n"),
        "has no valid front matter",
    ),
    "no scores": (
        lambda folder: (folder / "README.md").write_text(
            "---\nlicense: mit\npipeline_tag: audio-classification\n---\n"
        ),
        "has no model-index",
    ),
    "scores that cannot be read": (
        lambda folder: edit(folder / "README.md", "- name: model\n  results:", "- name: model\n  outcome:"),
        "has no valid front matter: Invalid `model_index`",
    ),
    "link out of the folder": (
        lambda folder: (folder / "vocabulary.txt").symlink_to("/etc/hostname"),
        "vocabulary.txt is a link to outside",
    ),
    "linked folder": (lambda folder: (folder / "more").symlink_to("/etc"), "more is a link to outside"),
    "link to itself": (lambda folder: (folder / "more").symlink_to("more"), "more is neither a file nor a folder"),
    "FIFO": (lambda folder: os.mkfifo(folder / "results.json"), "results.json is neither a file nor a folder"),
    "FIFO for the weights": (
        lambda folder: (folder / "model.safetensors").unlink() or os.mkfifo(folder / "model.safetensors"),
        "model.safetensors is neither a file nor a folder",
    ),
    "name on two lines": (lambda folder: (folder / "a\nb.txt").write_text(""), "unprintable characters: rename it"),
    "name that is not UTF-8": (
        lambda folder: (folder / os.fsdecode(b"caf\xe9.txt")).write_text(""),
        r"caf\udce9.txt has a name with unprintable characters",
    ),
    "pickle under another suffix": (
        lambda folder: (folder / "notes.txt").write_bytes(b"cos\nsystem\n(S'true'\ntR."),
        "notes.txt is damaged, or not .txt (it is a pickle)",
    ),
    "code of a wrong type": (lambda folder: edit_config(folder, auto_map=[1]), "config.json is damaged"),
    "labels in a list": (lambda folder: edit_config(folder, id2label=["cat"] * 7), "config.json is damaged"),
    "labels of a wrong type": (
        lambda folder: edit_config(folder, id2label={str(i): [i] for i in range(7)}),
        "config.json is damaged",
    ),
    "front matter of a wrong type": (
        lambda folder: edit(folder / "README.md", "model-index:", "model-index: 5\nindex:"),
        "has no valid front matter",
    ),
    "dangling link": (lambda folder: (folder / "more").symlink_to("../gone"), "more is a link to outside"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_faults(folder, fault):
    damage, message = BROKEN[fault]
    damage(folder)
    with pytest.raises(PublishError, match=re.escape(message)) as error:
        check_model_folder(folder)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "line, message",
    [
        (
            "from samplecnn_hf import SampleCNNConfig",
            "does not load where samplecnn_hf is not installed: .*samplecnn_hf",
        ),
        ("import os; os._exit(0)", "does not predict the labels of its config.json"),
    ],
)
def test_code_that_does_not_load_elsewhere(folder, line, message):
    path = folder / "modeling_samplecnn.py"
    path.write_text(f"{path.read_text()}\n{line}\n")
    with pytest.raises(PublishError, match=message) as error:
        check_model_folder(folder)
    assert len(str(error.value).splitlines()) == 1


def test_body_without_classifier(tmp_path, folder, tiny_model):
    tiny_model.samplecnn.save_pretrained(folder)
    with pytest.raises(PublishError, match="model.safetensors has no classifier"):
        check_model_folder(folder)


def test_excluded_files(tmp_path):
    for name in (
        "a.txt",
        "b/c.txt",
        ".env",
        ".git/config",
        "b/__pycache__/x.pyc",
        "b/d.onnx.unfinished",
        "b/.hidden/e",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "link.txt").symlink_to("b/c.txt")
    (tmp_path / "openvino").mkdir()
    (tmp_path / "openvino" / "model.bin").write_bytes(b"weights")
    assert list_files(tmp_path) == ["a.txt", "b/c.txt", "link.txt"]


@pytest.mark.slow
def test_weights_that_are_not_finite(folder, tiny_model):
    torch.nn.init.constant_(tiny_model.classifier.dense.weight, torch.nan)
    tiny_model.save_pretrained(folder)
    with pytest.raises(PublishError, match="not finite: damaged weights"):
        check_model_folder(folder)


# The process that loads the folder

LIMITS = model_folder.LOAD_CHECK_SCRIPT.partition("sys.modules")[0]


def test_loading_that_never_ends_is_stopped_with_all_it_started(folder, monkeypatch):
    child = (
        "import subprocess, sys; print(subprocess.Popen(['sleep', '600']).pid, file=open(sys.argv[1] + '/pid', 'w'))"
    )
    monkeypatch.setattr(model_folder, "LOAD_CHECK_SCRIPT", f"{child}; import time; time.sleep(600)")
    monkeypatch.setattr(model_folder, "LOADING_SECONDS", 3)
    with pytest.raises(PublishError, match="does not load within 3 seconds where samplecnn_hf is not installed"):
        check_model_folder(folder)
    status = Path("/proc") / (folder / "pid").read_text().strip() / "status"
    deadline = time.monotonic() + 10
    while status.exists() and "\nState:\tZ" not in status.read_text():  # a zombie is dead
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    "code, message",
    [("while True: print('x' * 10**6)", "File too large"), ("x = b'x' * 2**35", "MemoryError")],
)
def test_loading_that_takes_the_disk_or_the_memory(folder, monkeypatch, code, message):
    monkeypatch.setattr(model_folder, "LOAD_CHECK_SCRIPT", f"{LIMITS}\n{code}")
    with pytest.raises(PublishError, match=f"does not load where samplecnn_hf is not installed: .*{message}"):
        check_model_folder(folder)
