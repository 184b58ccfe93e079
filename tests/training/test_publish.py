import io
import json
import subprocess
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from datasets import Dataset, Features, concatenate_datasets
from huggingface_hub import DatasetCard

from training import publish
from training.data import load_source
from training.data.prepared import PreparedClips, prepare

SPACE_CARD = """---
title: Demo
sdk: gradio
sdk_version: 6.31.0
python_version: "3.12"
app_file: app.py
license: apache-2.0
---
"""


@pytest.fixture
def space(tmp_path):
    folder = tmp_path / "checkout" / "space"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "README.md").write_text(SPACE_CARD)
    for name in ("app.py", ".env", "__pycache__/app.pyc", "requirements.txt", "recorded.wav", "local.txt"):
        (folder / name).write_text(name)
    (folder.parent / ".gitignore").write_text("*.wav\n/space/local.txt\n")
    subprocess.run(["git", "init", "--quiet", folder.parent], check=True)
    return folder


@pytest.fixture
def page(tmp_path):
    folder = tmp_path / "page"
    folder.mkdir()
    (folder / "README.md").write_text("---\ntitle: Page\nsdk: static\nlicense: apache-2.0\n---\n")
    (folder / "index.html").write_text("<!doctype html>")
    return folder


def fail(*command):
    """Its one line of error."""
    with pytest.raises(SystemExit) as error:
        publish.main([str(part) for part in command])
    message = error.value.code
    assert message.startswith("error: ") and "\n" not in message
    return message


# Spaces


@pytest.mark.slow
def test_spaces(space, page, hub, online):
    commands = [
        ["space", "ann/demo", "--folder", space, "--models", "ann/tones"],
        ["space", "ann/page", "--static", "--folder", page],
    ]
    for outcome in online.call(*(["training.publish", "main", [command]] for command in commands)):
        assert outcome["error"] is None and "/commit/" in outcome["printed"]
    demo, static = hub.repos["space", "ann/demo"], hub.repos["space", "ann/page"]
    assert (demo.sdk, static.sdk) == ("gradio", "static")
    assert len(demo.commits) == len(static.commits) == 2
    # neither caches nor hidden files nor what git ignores
    own = {name for name in demo.files() if not name.startswith("samplecnn_hf/")}
    assert own == {".gitattributes", "README.md", "app.py", "requirements.txt"}
    assert {"samplecnn_hf/__init__.py", "samplecnn_hf/analysis/filters.py"} <= set(demo.files())
    assert set(static.files()) == {".gitattributes", "README.md", "index.html"}
    assert static.files()["index.html"].content == b"<!doctype html>"


def test_dry_run_lists_a_space(space, capsys):
    publish.main(["space", "ann/demo", "--folder", str(space), "--models", "ann/tones", "--dry_run"])
    listed = [line.split()[-1] for line in capsys.readouterr().out.splitlines()]
    own = [name for name in listed if not name.startswith("samplecnn_hf/")]
    assert own == ["README.md", "app.py", "requirements.txt", "ann/demo"] and len(listed) > len(own)


@pytest.mark.parametrize("field", ["title", "sdk", "sdk_version", "python_version", "app_file", "license"])
def test_front_matter_that_a_gradio_space_needs(space, field):
    lines = SPACE_CARD.splitlines(keepends=True)
    (space / "README.md").write_text("".join(line for line in lines if not line.startswith(f"{field}:")))
    assert f"write {field}: " in fail("space", "ann/demo", "--folder", space)


def test_other_faults_of_a_space(space, page, tmp_path):
    assert "--models" in fail("space", "ann/demo", "--folder", space)
    assert "has sdk: gradio in its front matter: write sdk: static there" in fail(
        "space", "ann/demo", "--static", "--folder", space
    )
    (space / "app.py").unlink()
    assert "has no app.py, the file to run" in fail("space", "ann/demo", "--folder", space, "--models", "ann/a")
    (page / "index.html").unlink()
    assert "has no index.html, the file to run" in fail("space", "ann/page", "--static", "--folder", page)
    assert "there is no folder" in fail("space", "ann/demo", "--folder", tmp_path / "nowhere")


# Data sets


@pytest.fixture
def push_and_read(hub, online, tmp_path):
    """push_and_read(source, data_dir): the data set on the Hub, pushed twice, and the folder that it is read into."""

    def push_and_read(source, data_dir):
        push = ["dataset", source, "ann/data", "--data_dir", data_dir, "--license", "cc-by-4.0"]
        push = ["training.publish", "main", [[*push, "--cache_dir", tmp_path / "here"]]]
        read = ["training.prepare", "main", [["hub", "--data_dir=ann/data", f"--cache_dir={tmp_path / 'read'}"]]]
        outcomes = online.call(push, push, read)
        assert [outcome["error"] for outcome in outcomes] == [None] * 3
        assert "/commit/" in outcomes[0]["printed"]
        return hub.repos.pop(("dataset", "ann/data")), Path(json.loads(outcomes[-1]["printed"])["folder"])

    return push_and_read


def check_same_clips(source_name, data_dir, read, tmp_path):
    """To the last bit, and with the same labels."""
    source = load_source(source_name, data_dir)
    here = prepare(source, 22050, tmp_path / "expected", source.splits)
    for split, clips in here.items():
        shards = [Dataset.from_file(str(shard)) for shard in sorted(read.glob(f"{split}-*.arrow"))]
        found = PreparedClips(concatenate_datasets(shards))
        assert len(found) == len(clips) and found.labels == clips.labels
        for pcm, expected in zip(found, clips, strict=True):
            np.testing.assert_array_equal(pcm, expected)


@pytest.mark.slow
def test_data_set_comes_back_as_it_was(tones, push_and_read, tmp_path):
    (tones / "low" / "train3.wav").write_text("broken")
    repo, read = push_and_read("folder", tones)
    check_same_clips("folder", tones, read, tmp_path)

    assert set(repo.files()) == {
        ".gitattributes",
        "README.md",
        *(f"data/{split}-00000-of-00001.parquet" for split in ("train", "validation", "test")),
    }
    card = DatasetCard(repo.files()["README.md"].content.decode())
    assert card.data.license == "cc-by-4.0" and card.data.task_categories == ["audio-classification"]
    assert {split["name"]: split["num_examples"] for split in card.data.dataset_info["splits"]} == {
        "train": 35,
        "validation": 12,
        "test": 12,
    }
    assert "| train | 35 |" in card.text and "one of 3 labels per clip" in card.text
    assert "ynthetic" not in card.content

    table = pq.read_table(io.BytesIO(repo.files()["data/test-00000-of-00001.parquet"].content))
    features = Features.from_arrow_schema(table.schema)
    assert features["label"].names == ["high", "low", "middle"]
    assert features["audio"].sampling_rate == 22050
    first = table.to_pylist()[0]
    assert first["label"] == 0 and first["audio"]["path"] == "test0.flac"
    assert soundfile.info(io.BytesIO(first["audio"]["bytes"])).subtype == "PCM_16"
    # nobody learns where the files were
    assert str(tones).encode() not in repo.files()["README.md"].content


@pytest.mark.slow
def test_multi_label_data_set(write_chords, push_and_read, tmp_path):
    folder = write_chords(tmp_path / "chords")
    repo, read = push_and_read("magnatagatune-26k", folder)
    check_same_clips("magnatagatune-26k", folder, read, tmp_path)
    card = repo.files()["README.md"].content.decode()
    assert "**Synthetic data**" in card and "any number of 3 labels per clip" in card


def test_dry_run_of_a_data_set(tones, tmp_path, capsys):
    options = ["--data_dir", str(tones), "--license=mit", "--cache_dir", str(tmp_path / "cache"), "--dry_run"]
    publish.main(["dataset", "folder", "ann/tones", *options])
    assert "README.md" in capsys.readouterr().out
    assert not list(tmp_path.rglob("flac-*"))


def test_faults_of_a_data_set(tones, tmp_path, capsys):
    command = ["dataset", "folder", "ann/tones", "--data_dir", tones]
    with pytest.raises(SystemExit) as error:
        publish.main([str(part) for part in command])
    assert error.value.code == 2 and "the following arguments are required: --license" in capsys.readouterr().err
    assert "must be between 1000 and 65535 Hz; got 96000" in fail(*command, "--license=mit", "--sampling_rate=96000")
    assert "is not a folder" in fail(*command[:-1], tmp_path / "nowhere", "--license=mit")
    # offline: nothing has left the machine, and the message says why
    failed = fail(*command, "--license=mit", "--cache_dir", tmp_path / "cache")
    assert "cannot push to ann/tones" in failed and "offline" in failed
