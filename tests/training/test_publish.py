import subprocess

import pytest

from training import publish

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
    assert f"set {field}: " in fail("space", "ann/demo", "--folder", space)


def test_other_faults_of_a_space(space, page, tmp_path):
    assert "--models" in fail("space", "ann/demo", "--folder", space)
    assert "has sdk: gradio in its front matter: set sdk: static" in fail(
        "space", "ann/demo", "--static", "--folder", space
    )
    (space / "app.py").unlink()
    assert "has no app.py, the file to run" in fail("space", "ann/demo", "--folder", space, "--models", "ann/a")
    (page / "index.html").unlink()
    assert "has no index.html, the file to run" in fail("space", "ann/page", "--static", "--folder", page)
    assert "there is no folder" in fail("space", "ann/demo", "--folder", tmp_path / "nowhere")


def test_dry_run_of_a_dataset(tones, tmp_path, capsys):
    options = ["--data_dir", str(tones), "--license=mit", "--cache_dir", str(tmp_path / "cache"), "--dry_run"]
    publish.main(["dataset", "folder", "ann/tones", *options])
    assert "README.md" in capsys.readouterr().out
    assert not list(tmp_path.rglob("flac-*"))


def test_faults_of_a_dataset(tones, tmp_path, capsys):
    command = ["dataset", "folder", "ann/tones", "--data_dir", tones]
    with pytest.raises(SystemExit) as error:
        publish.main([str(part) for part in command])
    assert error.value.code == 2 and "the following arguments are required: --license" in capsys.readouterr().err
    assert "must be between 1000 and 65535 Hz; got 96000" in fail(*command, "--license=mit", "--sampling_rate=96000")
    assert "is not a folder" in fail(*command[:-1], tmp_path / "nowhere", "--license=mit")
    # offline: nothing has left the machine, and the message says why
    failed = fail(*command, "--license=mit", "--cache_dir", tmp_path / "cache")
    assert "cannot push to ann/tones" in failed and "offline" in failed
