"""The pipeline's memory does not grow with the clip."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from samplecnn_hf import SampleCNNFeatureExtractor

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status"),
]

CLASSIFY = """
import json, sys
from samplecnn_hf import SampleCNNAudioClassificationPipeline

folder, file, batch_size = sys.argv[1:]
pipe = SampleCNNAudioClassificationPipeline.from_pretrained(folder, device="cpu")
answer = pipe([file] * int(batch_size), batch_size=int(batch_size))[0]
status = open("/proc/self/status").read()  # the peak that getrusage knows may be that of the parent process
print(json.dumps([int(status.partition("VmHWM:")[2].split()[0]) / 1024, answer]))
"""


@pytest.fixture
def peak(tmp_path, make_model):
    """peak(file): most memory in MB of a process that classifies it with a network of the paper (the fastest)."""
    folder = tmp_path / "model"
    model = make_model("basic-8-stem81x81")
    model.save_pretrained(folder)
    SampleCNNFeatureExtractor(segment_length=model.config.segment_length, do_normalize=True).save_pretrained(folder)

    def measure(file, batch_size=1):
        command = [sys.executable, "-c", CLASSIFY, str(folder), str(file), str(batch_size)]
        run = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert run.returncode == 0, run.stderr[-2000:]
        megabytes, answer = json.loads(run.stdout.splitlines()[-1])
        assert sum(item["score"] for item in answer) == pytest.approx(1, abs=1e-4)
        print(f"{file.name}, batch_size={batch_size}: {megabytes:.0f} MB")
        return megabytes

    return measure


def write(path, seconds, rate=22050, channels=1, loudness=0.1):
    noise = loudness * np.random.default_rng(0).standard_normal((rate, channels))
    with soundfile.SoundFile(path, "w", rate, channels) as file:
        for _ in range(seconds):
            file.write(noise)
    return path


def test_an_hour_takes_no_more_memory_than_ten_seconds(tmp_path, peak):
    """An hour is 318 MB as float32."""
    short = peak(write(tmp_path / "ten_seconds.wav", 10))
    assert peak(write(tmp_path / "hour.wav", 3600)) < short + 100
    assert peak(write(tmp_path / "half_an_hour_of_stereo.flac", 1800, 44100, 2, loudness=0)) < short + 100
    assert peak(write(tmp_path / "ten_minutes.wav", 600), batch_size=8) < short + 300


@pytest.mark.parametrize("seconds, rate, channels", [(600, 1000, 1), (60, 655_350, 8)])
def test_small_files_of_much_sound(tmp_path, peak, seconds, rate, channels):
    short = peak(write(tmp_path / "ten_seconds.wav", 10))
    bomb = write(tmp_path / "bomb.flac", seconds, rate, channels, loudness=0)
    assert bomb.stat().st_size < 400_000
    assert peak(bomb) < short + 100
