import re

import pytest

from samplecnn_hf import cli, publish
from samplecnn_hf.configuration_samplecnn import CHOICES

NOBODY = "http://127.0.0.1:9"  # no server listens there


@pytest.mark.slow
def test_dry_run_lists_the_files(publishable, capsys):
    cli.main(["push", str(publishable), "ann/model", "--tag=v1", "--dry_run"])  # the tests have no access to the Hub
    *lines, total = capsys.readouterr().out.splitlines()
    listed = {name: int(size.replace(",", "")) for size, name in map(str.split, lines)}
    sizes = {name: (publishable / name).stat().st_size for name in listed}
    assert listed == sizes | {"README.md": sizes["README.md"] + len("ann/")}  # its example names the repository
    assert {"README.md", "config.json", "model.safetensors", "modeling_samplecnn.py", "onnx/model.onnx"} <= set(listed)
    assert re.fullmatch(
        rf" *{sum(listed.values()):,}  bytes in {len(listed)} files would be uploaded to the model ann/model", total
    )


@pytest.mark.slow
def test_no_connection_to_the_hub(publishable, online):
    files = {"README.md": publishable / "README.md"}
    (outcome,) = online.call(["samplecnn_hf.publish", "push_files", [files, "ann/model"]], endpoint=NOBODY)
    message = "the connection to the Hub failed .*: run the same command again to complete the upload"
    assert re.fullmatch(message, outcome["error"])


@pytest.mark.parametrize("repo_id", ["USER/NAME/MORE", "a b", "-name"])
def test_fault_of_the_name(publishable, repo_id):
    with pytest.raises(SystemExit, match="^error: .* is not a valid name on the Hub: give USER/NAME$"):
        cli.main(["push", str(publishable), "--dry_run", "--", repo_id])


def test_export_of_no_folder(tmp_path):
    with pytest.raises(SystemExit, match="^error: there is no folder .*/nowhere: give the folder of a trained model$"):
        cli.main(["export", str(tmp_path / "nowhere")])


def test_fault_of_the_folder(publishable):
    (publishable / "README.md").unlink()
    with pytest.raises(SystemExit, match="^error: .* has no README.md: write a model card$"):
        cli.main(["push", str(publishable), "ann/model", "--dry_run"])


@pytest.mark.slow
def test_export(publishable, capsys):
    cli.main(["export", str(publishable)])
    path = publishable / "onnx" / "model.onnx"
    assert capsys.readouterr().out == f"{path}\n" and path.stat().st_size > 0


def test_interruption_ends_in_one_line(publishable, monkeypatch):
    def interrupt(*arguments, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(publish, "push_model", interrupt)
    with pytest.raises(SystemExit, match="^interrupted: run the same command again"):
        cli.main(["push", str(publishable), "ann/model"])


def test_no_token_on_the_command_line(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["push", "folder", "ann/model", "--token=hf_x"])
    assert "No such option: --token" in capsys.readouterr().err


def test_problem_types_of_convert(capsys):
    cli.main(["convert", "--help"])
    assert f"<{'|'.join(CHOICES['problem_type'])}>" in capsys.readouterr().out
