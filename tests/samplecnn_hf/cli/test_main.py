import os
import subprocess
import sys
from pathlib import Path

import pytest

from samplecnn_hf import __version__, cli

NAMES = [command.__name__ for command in cli.COMMANDS]
HEAVY = {"torch", "transformers", "onnxruntime", "numpy", "soundfile", "pandas", "pyarrow", "rich"}


def test_version(capsys):
    cli.main(["--version"])
    assert capsys.readouterr().out == f"samplecnn-hf {__version__}\n"


@pytest.mark.parametrize("name", NAMES)
def test_help_has_an_example(name, capsys):
    cli.main([name, "--help"])
    out = capsys.readouterr().out
    assert out.startswith(f"Usage: samplecnn {name} ") and f"\n  samplecnn {name}" in out
    assert "`" not in out.split("\n\n")[1]  # plain text on a terminal


def test_help_lists_all_commands(capsys):
    cli.main(["--help"])
    lines = capsys.readouterr().out.split("Commands:\n")[1].splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "] == NAMES


def test_help_and_completion_load_nothing_heavy():
    code = f"""
import sys
from samplecnn_hf import cli
cli.main(sys.argv[1:])
print(sorted({HEAVY!r} & sys.modules.keys()), file=sys.stderr)
"""
    for words, environment in (
        (["--help"], {}),
        (["classify", "--help"], {}),
        ([], {"_SAMPLECNN_COMPLETE": "complete_bash", "COMP_WORDS": "samplecnn cla", "COMP_CWORD": "1"}),
    ):
        command = [sys.executable, "-c", code, *words]
        process = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
        assert "classify" in process.stdout, process
        assert process.stderr == "[]\n"


def test_a_reader_that_has_enough():
    """As `samplecnn variants | head -1`."""
    command = [sys.executable, "-m", "samplecnn_hf.cli", "variants"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait() == 1


def test_without_a_command(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main([])
    out, err = capsys.readouterr()
    assert "Usage: samplecnn" in out + err


@pytest.mark.slow
def test_command_of_the_package():
    """What `pip install` puts on the path; one line, and exit status 1."""
    command = Path(sys.executable).with_name("samplecnn")
    command = [command] if command.exists() else [sys.executable, "-m", "samplecnn_hf.cli"]
    process = subprocess.run([*command, "push", "nowhere", "ann/model"], capture_output=True, text=True)
    assert process.returncode == 1
    assert process.stderr == "error: there is no folder nowhere: give the folder to upload\n"
