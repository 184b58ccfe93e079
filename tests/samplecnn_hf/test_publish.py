import json
import os
import subprocess
import sys

import pytest

from samplecnn_hf import SampleCNNAudioClassificationPipeline
from samplecnn_hf.export import export_model
from samplecnn_hf.model_folder import PublishError
from samplecnn_hf.publish import check_exports

USE_SCRIPT = """
import json
import sys

sys.modules["samplecnn_hf"] = None  # installed or not: importing it fails

from transformers import AutoFeatureExtractor, AutoModel, AutoModelForAudioClassification, pipeline

repo, file = sys.argv[1:]
trust = {"trust_remote_code": True}
for auto_class in (AutoModel, AutoModelForAudioClassification, AutoFeatureExtractor):
    part = auto_class.from_pretrained(repo, **trust)
    assert type(part).__module__.startswith("transformers_modules.")
print(json.dumps(pipeline(model=repo, **trust)(file, top_k=None)))
"""


@pytest.fixture
def folder(publishable):
    return publishable


@pytest.mark.slow
def test_pushed_model_is_used_without_the_package(folder, hub, online, write_tone, tiny_model, tiny_extractor):
    model_files = os.listdir(folder)
    push = ["samplecnn_hf.publish", "push_model", [folder, "ann/tones"], {"tag": "v1"}]
    first, again = online.call(push, push)
    repo = hub.repos["model", "ann/tones"]
    assert (first["error"], again["error"]) == (None, None)
    assert len(repo.commits) == 2  # the first one comes with the repository; the second push found nothing to do
    assert first["result"] == again["result"] == f"{hub.url}/ann/tones/commit/{repo.branches['main']}"
    assert repo.tags == {"v1": repo.branches["main"]}
    assert set(repo.files()) == {*model_files, "onnx/model.onnx", ".gitattributes"}
    for name in set(model_files) - {"README.md"}:
        assert repo.files()[name].content == (folder / name).read_bytes()
    card = repo.files()["README.md"].content.decode()
    assert card.endswith('# model\n\npipeline(model="ann/tones")\n')  # the example works where it stands

    file = str(write_tone("tone.mp3", seconds=0.5, sampling_rate=48000))
    command = [sys.executable, "-I", "-c", USE_SCRIPT, "ann/tones", file]
    process = subprocess.run(
        command, env=online.environment(token=None), capture_output=True, text=True, cwd=folder.parent
    )
    assert process.returncode == 0, process.stderr[-3000:]
    answer = {item["label"]: item["score"] for item in json.loads(process.stdout.splitlines()[-1])}
    here = SampleCNNAudioClassificationPipeline(model=tiny_model, feature_extractor=tiny_extractor)
    assert answer == pytest.approx({item["label"]: item["score"] for item in here(file, top_k=None)}, abs=1e-5)


def test_exports_of_an_earlier_model_are_refused(folder):
    check_exports([export_model(folder)])
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"dropout": 0.5', '"dropout": 0.4'))
    with pytest.raises(PublishError, match="model.onnx is that of an earlier model in .* again, or remove the file"):
        check_exports([folder / "onnx" / "model.onnx"])


@pytest.fixture
def files(tmp_path):
    """A folder whose content does not matter: one small file, and a large one as the Hub sees it."""
    path = tmp_path / "files"
    path.mkdir()
    (path / "README.md").write_text("---\nlicense: mit\n---\n")
    (path / "model.safetensors").write_bytes(os.urandom(3_000_000))
    return path


def push(folder, repo_id, names=("README.md", "model.safetensors"), **keywords):
    return ["samplecnn_hf.publish", "push_files", [{name: folder / name for name in names}, repo_id], keywords]


def read(repo_id, **keywords):
    return ["huggingface_hub", "hf_hub_download", [repo_id, "README.md"], keywords]


@pytest.mark.slow
def test_branch_tag_and_private_repository(files, hub, online):
    *pushes, by_bob, by_nobody, by_ann = online.call(
        push(files, "ann/secret", private=True, revision="dev", tag="v1"),
        push(files, "ann/secret", private=True, revision="dev", tag="v1"),
        push(files, "without_a_user"),
        read("ann/secret", revision="v1", token="hf_bob"),
        read("ann/secret", revision="v1", token=False),
        read("ann/secret", revision="v1"),
    )
    assert [outcome["error"] for outcome in [*pushes, by_ann]] == [None] * 4
    for outcome in (by_bob, by_nobody):
        assert "Repository Not Found" in outcome["error"]
    secret = hub.repos["model", "ann/secret"]
    assert secret.private and len(secret.commits) == 2
    assert list(secret.files("main")) == [".gitattributes"]
    assert secret.files("v1") == secret.files("dev")
    assert secret.files("dev")["model.safetensors"].content == (files / "model.safetensors").read_bytes()
    without_a_user = hub.repos["model", "ann/without_a_user"]
    assert not without_a_user.private and "README.md" in without_a_user.files()


@pytest.mark.slow
def test_refused_in_one_line(tmp_path, files, hub, online):
    bad_card = tmp_path / "bad_card"
    bad_card.mkdir()
    (bad_card / "README.md").write_text("no front matter")
    refusals = {
        "the token is invalid: run `hf auth login`, or set HF_TOKEN to": [
            push(files, "ann/new", token="hf_wrong"),
            push(files, "ann/new", token=False),
            push(files, "ann/open", token="hf_wrong"),
        ],
        "the token has no write access to ann/": [
            push(files, "ann/new", token="hf_bob"),
            push(files, "ann/open", token="hf_bob"),
        ],
        "cannot push to a/b/c: Repo id must be in the form": [push(files, "a/b/c")],
        "cannot push to ann/bad_card: Invalid metadata in README.md. - there is no front matter": [
            push(bad_card, "ann/bad_card", ["README.md"])
        ],
        "ann/open is already public: make it private on the Hub, or omit --private": [
            push(files, "ann/open", private=True)
        ],
        "the upload is complete, but the tag v1 exists at an earlier commit: push again with another --tag": [
            push(files, "ann/open", tag="v1")
        ],
    }
    expected = [message for message, calls in refusals.items() for _ in calls]
    made, *outcomes = online.call(
        push(files, "ann/open", ["README.md"], tag="v1"), *(call for calls in refusals.values() for call in calls)
    )
    assert made["error"] is None
    for outcome, message in zip(outcomes, expected, strict=True):
        assert outcome["error"].startswith(message) and "\n" not in outcome["error"]
    assert ("model", "ann/new") not in hub.repos
    repo = hub.repos["model", "ann/open"]
    assert len(repo.commits) == 3 and list(repo.files("v1")) == [".gitattributes", "README.md"]


@pytest.mark.slow
def test_interrupted_push_is_completed_by_the_same_call(files, hub, online):
    hub.upload_was_cut.clear()
    hub.uploads_to_cut = 1
    with online.start(push(files, "ann/interrupted")) as process:
        assert hub.upload_was_cut.wait(timeout=120)
        process.kill()
    repo = hub.repos["model", "ann/interrupted"]
    assert len(repo.commits) == 1  # nothing half-done is to be seen

    hub.uploads_to_cut = 1  # a connection that breaks is tried again by the client itself
    assert online.call(push(files, "ann/interrupted"))[0]["error"] is None
    assert hub.uploads_to_cut == 0
    assert len(repo.commits) == 2
    assert repo.files()["model.safetensors"].content == (files / "model.safetensors").read_bytes()
