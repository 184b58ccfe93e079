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

folder, *files = sys.argv[1:]
pipe = SampleCNNAudioClassificationPipeline.from_pretrained(folder, device="cpu")
results = []
for file in files:
    answers = pipe([file] * 2, batch_size=2)
    status = open("/proc/self/status").read()  # the peak that getrusage knows may be that of the parent process
    results.append([int(status.partition("VmHWM:")[2].split()[0]) / 1024, answers[0]])
print(json.dumps(results))
"""


def write(path, seconds, rate=22050, channels=1, loudness=0.1):
    noise = loudness * np.random.default_rng(0).standard_normal((rate, channels))
    with soundfile.SoundFile(path, "w", rate, channels) as file:
        for _ in range(seconds):
            file.write(noise)
    return path


def test_memory_does_not_grow_with_the_clip(tmp_path, make_model):
    """The peak after each of several files in one process; 20 minutes are 106 MB as float32, twice in a batch."""
    model = make_model("basic-8-stem81x81", stem_channels=8)
    model.save_pretrained(tmp_path / "model")
    extractor = SampleCNNFeatureExtractor(segment_length=model.config.segment_length, do_normalize=True)
    extractor.save_pretrained(tmp_path / "model")
    files = [
        write(tmp_path / "ten_seconds.wav", 10),
        write(tmp_path / "twenty_minutes.wav", 1200),
        write(tmp_path / "stereo.flac", 300, 44100, 2, loudness=0),
        write(tmp_path / "low_rate.flac", 300, 1000, 1, loudness=0),
        write(tmp_path / "many_samples.flac", 20, 655_350, 8, loudness=0),
    ]
    assert all(file.stat().st_size < 400_000 for file in files[3:])
    command = [sys.executable, "-c", CLASSIFY, str(tmp_path / "model"), *map(str, files)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-2000:]
    results = json.loads(run.stdout.splitlines()[-1])
    for file, (megabytes, answer) in zip(files, results, strict=True):
        print(f"{file.name}: {megabytes:.0f} MB")
        assert sum(item["score"] for item in answer) == pytest.approx(1, abs=1e-4)
        assert megabytes < results[0][0] + 150, file.name
