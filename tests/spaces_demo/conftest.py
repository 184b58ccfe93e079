"""A running demo server on the loopback interface."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from samplecnn_hf import SampleCNNFeatureExtractor
from tests.conftest import LABELS, with_labels

# Label names of a malicious model: the page must show them as plain text.
HOSTILE_LABELS = [
    "<img src=x onerror=alert(1)>",
    "two\nlines",
    "**bold** [link](https://example.com)",
    "$x^2$",
    "start (s)",
    "a|b",
    "\u202egnp.exe",
]
WORDS = ["_silence_", "_unknown_", "bird", "cat", "dog"]
SEGMENT_SECONDS = 1458 / 22050
APP = Path(__file__).parents[2] / "spaces_demo" / "app.py"


@dataclass(frozen=True)
class Space:
    url: str
    folder: Path  # of the models: words, tags, basic, hostile, spotter
    process: subprocess.Popen

    def megabytes(self, field: str = "VmRSS") -> float:
        """Resident memory of the server, or its peak (`VmHWM`) since `reset_peak`."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition(f"{field}:")[2].split()[0]) / 1024

    def reset_peak(self):
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")


@pytest.fixture(scope="session")
def space(tmp_path_factory, make_model, make_tone):
    """A demo of tiny models: single- and multi-label, without SE blocks, with hostile labels, a keyword spotter."""
    pytest.importorskip("gradio", reason="the demo needs gradio: pip install -e '.[demo]'")
    folder = tmp_path_factory.mktemp("space")
    names, hostile = with_labels(LABELS), with_labels(HOSTILE_LABELS)
    tags = {"problem_type": "multi_label_classification", "thresholds": [0.5] * len(LABELS)}
    save(folder / "words", make_model("test-se", **names), scale=24)
    save(folder / "tags", make_model("test-se", **names, **tags), max_segments=2)
    save(folder / "basic", make_model("test-basic", **names), scale=1)
    (folder / "basic" / "examples").mkdir()
    soundfile.write(folder / "basic" / "examples" / "beep.wav", make_tone(seconds=0.4), 22050)
    save(folder / "hostile", make_model("test-se", **hostile))
    thresholds = [1.0, 1.0, 0.3, 0.3, 0.3]
    save(folder / "spotter", make_model("test-se", **with_labels(WORDS), thresholds=thresholds), scale=24)
    port = free_port()
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(folder / "uploads")}
    models = [folder / name for name in ("words", "tags", "basic", "hostile", "spotter")]
    command = [sys.executable, APP, *models, "--port", str(port)]
    with open(folder / "log.txt", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    space = Space(f"http://127.0.0.1:{port}", folder, process)
    try:
        wait_for(space)
        yield space
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def write_changes(tmp_path, make_tone):
    """write_changes(sampling_rate): a file of 6.6 seconds with six sounds apart, for which labels change."""

    def write(sampling_rate=22050):
        generator, path = np.random.default_rng(0), tmp_path / "changes.wav"
        sounds = [make_tone(frequency, 0.4, sampling_rate) for frequency in (1000, 4000, 9000, 2000, 6000)]
        sounds.append(0.2 * generator.standard_normal(round(0.4 * sampling_rate)))
        between = make_tone(200, 0.7, sampling_rate, 0.3)
        soundfile.write(path, np.concatenate([part for sound in sounds for part in (between, sound)]), sampling_rate)
        return path

    return write


def save(folder: Path, model, scale=8, **extractor):
    with torch.no_grad():
        model.classifier.out_proj.weight.mul_(scale)  # distinct probabilities
    model.save_pretrained(folder)
    SampleCNNFeatureExtractor(segment_length=1458, **extractor).save_pretrained(folder)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(space: Space, seconds: int = 120):
    for _ in range(10 * seconds):
        assert space.process.poll() is None, (space.folder / "log.txt").read_text()
        try:
            urllib.request.urlopen(space.url).close()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError((space.folder / "log.txt").read_text())
