"""The demo as its visitors meet it: a server of its own, on loopback."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from samplecnn_hf import SampleCNNFeatureExtractor

LABELS = ["bird", "cat", "cow", "dog", "frog", "hen", "owl"]
# What a hostile model may call its classes: none of it may be more than text on the page.
HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "two\nlines",
    "**bold** [link](https://example.com)",
    "$x^2$",
    "second",
    "a|b",
    "\u202egnp.exe",
]
APP = Path(__file__).parents[2] / "spaces_demo" / "app.py"


@dataclass(frozen=True)
class Space:
    url: str
    folder: Path  # holds the offered models' folders: words, tags, plain, hostile
    process: subprocess.Popen

    def megabytes(self, field: str = "VmRSS") -> float:
        """What the server holds in memory now, or at its peak (`VmHWM`) since `reset_peak`."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition(f"{field}:")[2].split()[0]) / 1024

    def reset_peak(self):
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")


@pytest.fixture(scope="session")
def space(tmp_path_factory, make_model):
    """A running demo with tiny models: one label per clip, several, no squeeze-and-excitation, hostile labels."""
    pytest.importorskip("gradio", reason="the demo needs gradio: pip install -e '.[demo]'")
    folder = tmp_path_factory.mktemp("space")
    names, hostile = with_labels(LABELS), with_labels(HOSTILE)
    tags = {"problem_type": "multi_label_classification", "thresholds": [0.5] * len(LABELS)}
    save(folder / "words", make_model("test-se", **names))
    save(folder / "tags", make_model("test-se", **names, **tags), max_segments=2)
    save(folder / "plain", make_model("test-basic", **names))
    save(folder / "hostile", make_model("test-se", **hostile))
    port = free_port()
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(folder / "uploads")}
    command = [
        sys.executable,
        APP,
        *(folder / name for name in ("words", "tags", "plain", "hostile")),
        "--port",
        str(port),
    ]
    with open(folder / "log.txt", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    space = Space(f"http://127.0.0.1:{port}", folder, process)
    try:
        wait_for(space)
        yield space
    finally:
        process.terminate()
        process.wait()


def with_labels(labels: list[str]) -> dict:
    return {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}


def save(folder: Path, model, **extractor):
    with torch.no_grad():
        model.classifier.out_proj.weight.mul_(8)  # so that the labels' probabilities differ
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
