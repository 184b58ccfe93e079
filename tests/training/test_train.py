"""The command: processes, and errors in one line."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from samplecnn_hf import SampleCNNForAudioClassification
from tests.training.options import without
from training import evaluate, train

ROOT = Path(__file__).parents[2]


def test_error_is_one_line(tiny_run, tmp_path):
    """Of the script, as a user starts it."""
    command = [sys.executable, "training/train.py", *tiny_run, "--data_dir=nowhere"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode != 0 and not list(tmp_path.glob("run*"))
    assert result.stderr.splitlines() == ["error: nowhere is not a folder: give the folder that holds the data"]


def test_processes_that_are_not_connected(tiny_run, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit, match="set ACCELERATE_USE_CPU=true"):
        train.main(tiny_run)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_killed_and_resumed_run_ends_with_the_same_weights(tiny_run, tmp_path, schedule):
    options = [*without(tiny_run, "schedule"), f"--schedule={schedule}"]
    train.main(options)
    expected = (tmp_path / "run" / "model.safetensors").read_bytes()
    kept_epoch = json.loads((tmp_path / "run" / "results.json").read_text())["kept_epoch"]

    options = [*without(options, "output_dir"), f"--output_dir={tmp_path / 'again'}"]
    process = subprocess.Popen([sys.executable, "training/train.py", *options], cwd=ROOT, stdout=subprocess.PIPE)
    checkpoint = tmp_path / "again.unfinished" / "checkpoint-0001"
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert checkpoint.parent.exists(), "the run ended before it could be killed"
    assert not (tmp_path / "again").exists()

    train.main([*options, "--resume"])
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == expected
    assert json.loads((tmp_path / "again" / "results.json").read_text())["kept_epoch"] == kept_epoch


def test_synthetic_data_do_not_mix_with_others(tiny_run, tones):
    with pytest.raises(SystemExit, match="tones was not made by --synthetic"):
        train.main([*tiny_run, "--source=speech_commands", "--synthetic"])


@pytest.mark.slow
def test_two_processes_with_several_labels_and_reloading(tiny_run, write_chords, tmp_path):
    data = write_chords(tmp_path / "chords")
    options = [*without(tiny_run, "schedule", "average_decay"), f"--data_dir={data}"]
    options += ["--source=magnatagatune-26k", "--schedule=plateau", "--plateau_reload", "--plateau_patience=1"]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "training/train.py", *options]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    assert len(SampleCNNForAudioClassification.from_pretrained(tmp_path / "run").config.thresholds) == 3


def rename_column(path: Path):
    table = path.parents[1] / "train.csv"
    table.write_text(table.read_text().replace("file,class", "file,word"))


def remove_audio(path: Path):
    for file in path.parents[1].rglob("train*.wav"):
        file.unlink()


@pytest.mark.parametrize(
    "spoil, message",
    [
        (rename_column, "needs the columns file and class"),
        (remove_audio, "none of the 36 train clips can be used"),
    ],
)
def test_bad_data_is_one_clear_line_and_no_folder(tiny_run, tones, tmp_path, spoil, message):
    spoil(tones / "low" / "train0.wav")
    with pytest.raises(SystemExit, match=f"^error: .*{message}") as error:
        train.main(tiny_run)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists() and not (tmp_path / "run.unfinished").exists()


@pytest.mark.parametrize("model", ["{tmp}/nowhere", "{tmp}/a/b/c"])
def test_model_folder_that_is_not_there(tiny_run, tones, tmp_path, model):
    model = model.format(tmp=tmp_path)
    with pytest.raises(SystemExit, match=f"there is no model in {model}: give the folder"):
        train.main([*without(tiny_run, "variant"), f"--pretrained={model}"])
    with pytest.raises(SystemExit, match=f"there is no model in {model}: give the folder"):
        evaluate.main([model, "--source=folder", f"--data_dir={tones}"])


def test_output_folder_that_cannot_be_made(tiny_run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match="error: cannot write to .*; choose another --output_dir"):
        train.main([*without(tiny_run, "output_dir"), f"--output_dir={tmp_path / 'file' / 'run'}"])


@pytest.mark.slow
def test_two_processes_train_one_model(tiny_run, tmp_path):
    options = [*tiny_run, "--warmup_epochs=0.25"]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "training/train.py", *options]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    assert len([line for line in result.stdout.splitlines() if line.startswith('{"output_dir"')]) == 1
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["clips"] == {"train": 36, "validation": 12, "test": 12} and len(results["history"]) == 3
    # Each process takes 4 steps per epoch (78 segments, 2 processes, batches of 8), the first of which is the warm-up.
    assert results["history"][1]["learning_rate"] == pytest.approx(0.01 * 0.5 * (1 + math.cos(math.pi * 3 / 11)))
