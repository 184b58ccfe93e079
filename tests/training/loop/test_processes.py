"""Training in two processes, connected by gloo on a CPU."""

import copy
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.options import without
from training import train

ROOT = Path(__file__).parents[3]
TRAIN = ROOT / "training" / "train.py"
PLAIN = ["--crop=consecutive", "--dropout=0", "--mixup=0", "--noise=0", "--gain=0", "--mixed_precision=no"]
# train.py, but the batch norms keep their running statistics, which are those of one process's batches otherwise.
WITHOUT_BATCH_STATISTICS = """
from torch.nn.modules.batchnorm import _BatchNorm
from training.train import main

_BatchNorm.train = lambda norm, mode=True: super(_BatchNorm, norm).train(False)
main()
"""


def start(script: Path, options: list[str], num_processes: int = 2) -> subprocess.Popen:
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={num_processes}", script, *options]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE)


@pytest.mark.slow
def test_two_processes_train_as_one_with_the_same_batches(tiny_run, tmp_path):
    script = tmp_path / "train_without_batch_statistics.py"
    script.write_text(WITHOUT_BATCH_STATISTICS)
    options, weights = [*without(tiny_run, "output_dir", "batch_size"), *PLAIN], {}
    for num_processes in (1, 2):
        folder, batch_size = tmp_path / str(num_processes), 8 // num_processes
        options_now = [*options, f"--batch_size={batch_size}", f"--output_dir={folder}"]
        assert start(script, options_now, num_processes).wait() == 0
        weights[num_processes] = load_file(folder / "model.safetensors")
    train.main([*options, "--batch_size=4", f"--output_dir={tmp_path / 'half'}"])
    torch.testing.assert_close(weights[2], weights[1], rtol=1e-3, atol=1e-5)
    half = load_file(tmp_path / "half" / "model.safetensors")
    assert any((half[name] - weights[1][name]).abs().max() > 0.01 for name in half)  # the batches do matter


def test_synchronized_batch_norm_needs_gpus(tiny_run, tmp_path):
    with pytest.raises(SystemExit, match="--sync_batch_norm needs GPUs"):
        train.main([*tiny_run, "--sync_batch_norm"])
    assert not (tmp_path / "run").exists()


def test_a_network_with_synchronized_batch_norms_is_saved_as_any_other(make_model):
    model = make_model()
    synchronized = torch.nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(model))
    assert synchronized.state_dict().keys() == model.state_dict().keys()
    segments = torch.randn(2, model.config.segment_length)
    torch.testing.assert_close(synchronized(segments).logits, model(segments).logits)


@pytest.mark.slow
def test_two_processes_resume(tiny_run, tmp_path):
    """Each has random numbers of its own."""

    def options(folder: str) -> list[str]:
        return [*without(tiny_run, "output_dir"), f"--output_dir={tmp_path / folder}"]

    assert start(TRAIN, options("whole")).wait() == 0
    process = start(TRAIN, options("run"))
    while not (tmp_path / "run.unfinished" / "checkpoint-0001").exists() and process.poll() is None:
        time.sleep(0.001)
    process.terminate()  # and it does the same to its two workers
    process.wait()
    assert not (tmp_path / "run").exists(), "the run ended before it could be killed"
    with pytest.raises(SystemExit, match="was trained with 2 processes, not 1"):
        train.main([*tiny_run, "--resume"])
    process = start(TRAIN, [*options("run"), "--resume"])
    assert "resumed after epoch" in process.communicate()[0].decode() and process.returncode == 0
    weights = [(tmp_path / folder / "model.safetensors").read_bytes() for folder in ("whole", "run")]
    assert weights[0] == weights[1]
