import json
import os
import re
import subprocess
import sys

import pytest

from samplecnn_hf import SampleCNNAudioClassificationPipeline
from samplecnn_hf.publish import PublishError, check_model_folder, list_files

MODEL_FILES = [
    "README.md",
    "config.json",
    "configuration_samplecnn.py",
    "feature_extraction_samplecnn.py",
    "model.safetensors",
    "modeling_samplecnn.py",
    "pipeline_samplecnn.py",
    "preprocessor_config.json",
]
STRANGER = """
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


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def edit_config(folder, **fields):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


# What a model folder must be


@pytest.mark.slow
def test_sound_folder(folder):
    (folder / "results.json").write_text("{}")
    (folder / ".env").write_text("HF_TOKEN=hf_secret")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "modeling_samplecnn.pyc").write_text("")
    assert check_model_folder(folder) == sorted([*MODEL_FILES, "results.json"])


BROKEN = {
    **{
        f"no {name}": (lambda folder, name=name: (folder / name).unlink(), f"has no {name}: give a folder")
        for name in ("model.safetensors", "config.json", "preprocessor_config.json")
    },
    "no card": (lambda folder: (folder / "README.md").unlink(), "has no README.md: write the model's card"),
    **{
        f"another {suffix}": (
            lambda folder, suffix=suffix: (folder / f"weights{suffix}").write_text(""),
            f"weights{suffix} is of a kind that no model needs",
        )
        for suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".PKL", ".joblib", ".zip", "")
    },
    "pickle in a folder": (
        lambda folder: (folder / "old").mkdir() or (folder / "old" / "optimizer.bin").write_text(""),
        "old/optimizer.bin is of a kind that no model needs",
    ),
    "no modeling file": (
        lambda folder: (folder / "modeling_samplecnn.py").unlink(),
        "has no modeling_samplecnn.py, which config.json names",
    ),
    "no pipeline file": (lambda folder: (folder / "pipeline_samplecnn.py").unlink(), "has no pipeline_samplecnn.py"),
    "code elsewhere": (
        lambda folder: edit_config(folder, auto_map={"AutoConfig": "eve/x--configuration_samplecnn.SampleCNNConfig"}),
        "has no eve/x--configuration_samplecnn.py",
    ),
    "no code": (lambda folder: edit_config(folder, auto_map={}, custom_pipelines={}), "names no code"),
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
    "no licence": (
        lambda folder: edit(folder / "README.md", "license: apache-2.0\n", ""),
        "write license: ... there",
    ),
    "another task": (
        lambda folder: edit(folder / "README.md", "pipeline_tag: audio-classification", "pipeline_tag: text-to-audio"),
        "has pipeline_tag: text-to-audio in its front matter: write pipeline_tag: audio-classification there",
    ),
    "no front matter": (lambda folder: (folder / "README.md").write_text("# model\n"), "has license: None"),
    "front matter that is no YAML": (
        lambda folder: (folder / "README.md").write_text("---\nlicense: [\n---\n"),
        "no front matter that the Hub can read",
    ),
    "no scores": (
        lambda folder: (folder / "README.md").write_text(
            "---\nlicense: mit\npipeline_tag: audio-classification\n---\n"
        ),
        "has no model-index",
    ),
    "scores that cannot be read": (
        lambda folder: edit(folder / "README.md", "- name: model\n  results:", "- name: model\n  outcome:"),
        "no front matter that the Hub can read: Invalid `model_index`",
    ),
    "link out of the folder": (
        lambda folder: (folder / "vocabulary.txt").symlink_to("/etc/hostname"),
        "vocabulary.txt is a link that leads out",
    ),
    "linked folder": (lambda folder: (folder / "more").symlink_to("/etc"), "more is a link that leads out"),
    "dangling link": (lambda folder: (folder / "more").symlink_to("../gone"), "more is a link that leads out"),
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
        ("raise RuntimeError('broken')", "does not load where samplecnn_hf is not installed: RuntimeError: broken"),
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


def test_what_stays_at_home(tmp_path):
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
    assert list_files(tmp_path) == ["a.txt", "b/c.txt", "link.txt"]


# To the Hub and back


@pytest.mark.slow
def test_pushed_model_is_used_by_a_stranger(folder, hub, online, write_tone, tiny_model, tiny_extractor):
    push = ["samplecnn_hf.publish", "push_model", [folder, "ann/tones"], {"tag": "v1"}]
    first, again = online.call(push, push)
    repo = hub.repos["model", "ann/tones"]
    assert (first["error"], again["error"]) == (None, None)
    assert len(repo.commits) == 2  # the first one comes with the repository; the second push found nothing to do
    assert first["result"] == again["result"] == f"{hub.url}/ann/tones/commit/{repo.branches['main']}"
    assert repo.tags == {"v1": repo.branches["main"]}
    assert set(repo.files()) == {*MODEL_FILES, "onnx/model.onnx", ".gitattributes"}
    for name in set(MODEL_FILES) - {"README.md"}:
        assert repo.files()[name].content == (folder / name).read_bytes()
    card = repo.files()["README.md"].content.decode()
    assert card.endswith('# model\n\npipeline(model="ann/tones")\n')  # the example works where it stands

    file = str(write_tone("tone.mp3", seconds=0.5, sampling_rate=48000))
    command = [sys.executable, "-I", "-c", STRANGER, "ann/tones", file]
    stranger = subprocess.run(
        command, env=online.environment(token=None), capture_output=True, text=True, cwd=folder.parent
    )
    assert stranger.returncode == 0, stranger.stderr[-3000:]
    answer = {item["label"]: item["score"] for item in json.loads(stranger.stdout.splitlines()[-1])}
    here = SampleCNNAudioClassificationPipeline(model=tiny_model, feature_extractor=tiny_extractor)
    assert answer == pytest.approx({item["label"]: item["score"] for item in here(file, top_k=None)}, abs=1e-5)


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
        "the Hub does not know the token: run `hf auth login`, or set HF_TOKEN to": [
            push(files, "ann/new", token="hf_wrong"),
            push(files, "ann/new", token=False),
            push(files, "ann/open", token="hf_wrong"),
        ],
        "the token may not write to ann/": [
            push(files, "ann/new", token="hf_bob"),
            push(files, "ann/open", token="hf_bob"),
        ],
        "cannot push to a/b/c: Repo id must be in the form": [push(files, "a/b/c")],
        "cannot push to ann/bad_card: Invalid metadata in README.md. - there is no front matter": [
            push(bad_card, "ann/bad_card", ["README.md"])
        ],
        "ann/open is public already: make it private on the Hub, or drop --private": [
            push(files, "ann/open", private=True)
        ],
        "the push is complete, but v1 names an earlier commit: push again with another --tag": [
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
