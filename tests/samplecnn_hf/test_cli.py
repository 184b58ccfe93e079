import re
import subprocess
import sys
from pathlib import Path

import pytest

from samplecnn_hf import cli

NOBODY = "http://127.0.0.1:9"  # no server listens there


@pytest.mark.slow
def test_dry_run_talks_to_nobody(publishable, online):
    push = ["push", publishable, "ann/model", "--tag=v1"]
    dry, real = online.call(
        *(["samplecnn_hf.cli", "main", [[*push, *more]]] for more in (["--dry_run"], [])), endpoint=NOBODY
    )
    assert dry["error"] is None
    *lines, total = dry["printed"].splitlines()
    listed = {name: int(size.replace(",", "")) for size, name in map(str.split, lines)}
    sizes = {name: (publishable / name).stat().st_size for name in listed}
    assert listed == sizes | {"README.md": sizes["README.md"] + len("ann/")}  # its example names the repository
    assert {"README.md", "config.json", "model.safetensors", "modeling_samplecnn.py", "onnx/model.onnx"} <= set(listed)
    assert re.fullmatch(
        rf" *{sum(listed.values()):,}  bytes in {len(listed)} files would go to the model ann/model", total
    )
    assert re.fullmatch(
        "error: the connection to the Hub failed .*: the same command again does what is left of the push",
        real["error"],
    )


@pytest.mark.parametrize("repo_id", ["USER/NAME/MORE", "a b", "-name"])
def test_fault_of_the_name(publishable, repo_id):
    with pytest.raises(SystemExit, match="^error: .* is no name on the Hub: give USER/NAME$"):
        cli.main(["push", str(publishable), "--dry_run", "--", repo_id])


def test_export_of_no_folder(tmp_path):
    with pytest.raises(SystemExit, match="^error: there is no folder .*/nowhere: give that of a trained model$"):
        cli.main(["export", str(tmp_path / "nowhere")])


def test_fault_of_the_folder(publishable):
    (publishable / "README.md").unlink()
    with pytest.raises(SystemExit, match="^error: .* has no README.md: write the model's card$"):
        cli.main(["push", str(publishable), "ann/model", "--dry_run"])


@pytest.mark.slow
def test_export(publishable, capsys):
    cli.main(["export", str(publishable)])
    path = publishable / "onnx" / "model.onnx"
    assert capsys.readouterr().out == f"{path}\n" and path.stat().st_size > 0


def test_export_of_nothing(tmp_path):
    with pytest.raises(SystemExit, match="^error: [^\n]+$"):
        cli.main(["export", str(tmp_path / "nowhere")])


def test_interruption_ends_in_one_line(publishable, monkeypatch):
    def interrupt(*arguments, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "push_model", interrupt)
    with pytest.raises(SystemExit, match="^interrupted: the same command starts again"):
        cli.main(["push", str(publishable), "ann/model"])


def test_no_token_on_the_command_line(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["push", "folder", "ann/model", "--token=hf_x"])
    assert "unrecognized arguments: --token" in capsys.readouterr().err


@pytest.mark.slow
def test_command_of_the_package():
    """What `pip install` puts on the path; one line, and exit status 1."""
    command = Path(sys.executable).with_name("samplecnn")
    command = [command] if command.exists() else [sys.executable, "-m", "samplecnn_hf.cli"]
    process = subprocess.run([*command, "push", "nowhere", "ann/model"], capture_output=True, text=True)
    assert process.returncode == 1
    assert process.stderr == "error: there is no folder nowhere: give the one to upload\n"
