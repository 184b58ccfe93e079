"""Shared by all tests: no network, no user's cache, small models and audio files."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import TCPServer

# Read when the libraries are imported, so set before anything imports them.
_hf_home = tempfile.TemporaryDirectory(prefix="hf_home_")
os.environ["HF_HOME"] = _hf_home.name
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import soundfile  # noqa: E402
import torch  # noqa: E402
from huggingface_hub import EvalResult, ModelCard, ModelCardData  # noqa: E402

from samplecnn_hf import SampleCNNFeatureExtractor, SampleCNNForAudioClassification, create_config  # noqa: E402

LABELS = ["bird", "cat", "cow", "dog", "frog", "hen", "owl"]

# Names that somebody's data may have, and that cards, plots and reports show as they are.
NASTY_NAMES = [
    "$x_1$",
    "$",
    "a$b",
    r"\$\frac{1}{0}$",
    "_silence_",
    "__init__ *bold* ~~gone~~",
    "a|b",
    "`code` ``",
    "[link](http://127.0.0.1/x) ![image](x)",
    "<b>bold</b><script>alert(1)</script>",
    "<!-- comment",
    "&lt;&amp; R&B",
    "# C#",
    "line\nbreak\r\n---\n",
    "tab\there",
    "{{ name }} {% raw %} {name} %s",
    "\x1b[31mred\x00",
    "\u202egnirts",
    "'quotes\" \\ back",
    "قطة 猫 кот ñ 🐈",
    "1. first",
    "- item",
    " spaces ",
    "x" * 500,
]


def with_labels(names: list[str]) -> dict:
    return {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}


def pytest_unconfigure():
    _hf_home.cleanup()


@contextmanager
def serving(server: TCPServer) -> Iterator[TCPServer]:
    """Answer requests in a thread while the block runs."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def make_model():
    """make_model(variant, model_class, **overrides): in eval mode, every tensor random, as if it had been trained."""

    def make(variant="test-se", model_class=SampleCNNForAudioClassification, **overrides):
        generator = torch.Generator().manual_seed(1)
        model = model_class(create_config(variant, **overrides)).eval()
        for name, tensor in model.state_dict().items():
            noise = torch.rand(tensor.shape, generator=generator)
            if "norm" in name or tensor.dim() < 2:
                if name.endswith(("weight", "running_var")):
                    tensor.copy_(0.5 + noise)
                elif name.endswith(("bias", "running_mean")):
                    tensor.copy_(0.2 * (noise - 0.5))
            elif name.endswith("weight"):
                tensor.copy_((noise - 0.5) * (24 / tensor[0].numel()) ** 0.5)
        return model

    return make


@pytest.fixture
def tiny_model(make_model):
    """A classifier of 1,458 samples with seven labels that have names."""
    return make_model("test-se", **with_labels(LABELS))


@pytest.fixture
def tiny_extractor():
    return SampleCNNFeatureExtractor(segment_length=1458)


@pytest.fixture
def pretrained(tmp_path, tiny_model, tiny_extractor):
    """The folder of a saved network."""
    tiny_model.save_pretrained(tmp_path / "pretrained")
    tiny_extractor.save_pretrained(tmp_path / "pretrained")
    return tmp_path / "pretrained"


@pytest.fixture(scope="session")
def make_tone():
    def make(frequency=440.0, seconds=0.2, sampling_rate=22050, amplitude=0.3):
        time = np.arange(round(seconds * sampling_rate)) / sampling_rate
        return (amplitude * np.sin(2 * np.pi * frequency * time)).astype(np.float32)

    return make


@pytest.fixture
def write_tone(tmp_path, make_tone):
    """write_tone("a.mp3", seconds=..., sampling_rate=...): a file in tmp_path; the suffix names the format."""

    def write(name="tone.wav", sampling_rate=22050, **kwargs):
        path = tmp_path / name
        soundfile.write(path, make_tone(sampling_rate=sampling_rate, **kwargs), sampling_rate)
        return path

    return write


@pytest.fixture(scope="session")
def hub():
    """A Hub on this machine, where ann and bob have the tokens hf_ann and hf_bob."""
    from tests.loopback_hub import LoopbackHub

    with LoopbackHub({"hf_ann": "ann", "hf_bob": "bob"}) as hub:
        yield hub


# Does calls, [module, function, arguments, keywords if any], and ends with a line of JSON: what came of each.
CALLS = """
import contextlib, importlib, io, json, sys

outcomes = []
for call in json.loads(sys.argv[1]):
    module, function, arguments, keywords = [*call, {}][:4]
    result, error, printed = None, None, io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            result = getattr(importlib.import_module(module), function)(*arguments, **keywords)
    except (Exception, SystemExit) as raised:
        error = str(raised)
    outcomes.append({"result": str(result), "error": error, "printed": printed.getvalue()})
print(json.dumps(outcomes))
"""


class HubClient:
    """Processes that talk to `hub`, each with an empty cache: the client reads its settings when it is imported."""

    def __init__(self, hub, folder):
        self.hub, self.folder = hub, folder

    def environment(self, token="hf_ann", endpoint=None):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        return kept | {
            "HF_ENDPOINT": endpoint or self.hub.url,
            "HF_HOME": tempfile.mkdtemp(prefix="home_", dir=self.folder),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_TOKEN": token or "",
            "NO_PROXY": "127.0.0.1",
        }

    def start(self, *calls, **environment) -> subprocess.Popen:
        command = [sys.executable, "-c", CALLS, json.dumps(calls, default=str)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env=self.environment(**environment), **pipes)

    def call(self, *calls, **environment) -> list[dict]:
        """`call(["module", "function", arguments], ...)`: "result", "error" and "printed" of each."""
        process = self.start(*calls, **environment)
        out, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors[-3000:]
        return json.loads(out.splitlines()[-1])


@pytest.fixture
def online(hub, tmp_path):
    return HubClient(hub, tmp_path)


@pytest.fixture
def publishable(tmp_path, tiny_model, tiny_extractor):
    """The folder of a tiny model that lacks nothing for the Hub."""
    path = tmp_path / "model"
    tiny_model.save_pretrained(path)
    tiny_extractor.save_pretrained(path)
    score = EvalResult("audio-classification", "tones", "tones", "accuracy", 0.75)
    data = ModelCardData(
        license="apache-2.0", pipeline_tag="audio-classification", model_name="model", eval_results=[score]
    )
    ModelCard(f'---\n{data.to_yaml()}\n---\n\n# model\n\npipeline(model="model")\n').save(path / "README.md")
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory, make_tone):
    """Chromium without a window, driven by playwright; its microphone hears a tone of 1000 Hz."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs chromium: apt-get install chromium")
    microphone = tmp_path_factory.mktemp("microphone") / "tone.wav"
    soundfile.write(microphone, make_tone(1000, seconds=10, sampling_rate=48000), 48000)
    arguments = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",  # the microphone is allowed without a question
        f"--use-file-for-fake-audio-capture={microphone}",
    ]
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=arguments)
        yield opened
        opened.close()
