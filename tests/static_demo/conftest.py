"""Built pages in Chromium, with tiny networks that classify pitches."""

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile
import torch

from samplecnn_hf import (
    SampleCNNAudioClassificationPipeline,
    SampleCNNFeatureExtractor,
    SampleCNNForAudioClassification,
    create_config,
)
from static_demo.build import RUNTIME, build

NEEDS_RUNTIME = pytest.mark.skipif(not RUNTIME.is_dir(), reason="needs onnxruntime-web: npm ci --prefix static_demo")

RATE = 22050
LABELS = {  # pitches in Hz
    "low": 300,
    "middle": 1000,
    "<b>high</b>": 3000,  # shown as text, not HTML
    f"very_{'very_' * 15}high": 6000,  # wider than a phone
}
EXTRACTORS = {
    "single_label_classification": {},
    "multi_label_classification": {
        "hop_length": 1000,
        "max_segments": 20,
        "drop_last": True,
        "short_clips": "tile",
        "do_normalize": True,
        "mean": 0.01,
        "std": 0.5,
    },
}


class Site(NamedTuple):
    url: str
    pipeline: SampleCNNAudioClassificationPipeline


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def learn_pitches(problem_type: str) -> SampleCNNForAudioClassification:
    """Train a tiny network to classify the pitches of `LABELS`; takes two seconds."""
    generator = torch.Generator().manual_seed(0)
    names = {"id2label": dict(enumerate(LABELS)), "label2id": {name: i for i, name in enumerate(LABELS)}}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = create_config("test-se", problem_type=problem_type, batch_norm_momentum=0.1, dropout=0, **names)
        model = SampleCNNForAudioClassification(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    labels = torch.arange(len(LABELS)).repeat(6)
    targets = labels if problem_type.startswith("single") else torch.eye(len(LABELS))[labels]
    cycles = torch.tensor(list(LABELS.values()))[labels, None] * torch.arange(1458) / RATE
    for _ in range(40):
        phase, amplitude = torch.rand(2, len(labels), 1, generator=generator)
        tones = amplitude * torch.sin(2 * torch.pi * (cycles + phase))
        model(tones + 0.02 * torch.randn(tones.shape, generator=generator), labels=targets).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


@pytest.fixture(scope="module")
def make_site(tmp_path_factory):
    """make_site(problem_type): a built page on a web server, and the pipeline of the same model."""
    servers = []

    @functools.cache
    def make(problem_type: str) -> Site:
        folder = tmp_path_factory.mktemp("site")
        model = learn_pitches(problem_type)
        extractor = SampleCNNFeatureExtractor(segment_length=1458, **EXTRACTORS[problem_type])
        model.save_pretrained(folder / "pitches")
        extractor.save_pretrained(folder / "pitches")
        page = build(folder / "pitches", folder / "page")
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=page)))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        pipeline = SampleCNNAudioClassificationPipeline(model=model, feature_extractor=extractor)
        return Site(f"http://127.0.0.1:{servers[-1].server_port}/", pipeline)

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def site(request, make_site):
    return make_site(getattr(request, "param", "single_label_classification"))


@pytest.fixture
def open_page(browser, site):
    """open_page(script="", **options): the page in a new browser profile; no request may go to another host."""
    contexts, requests, errors = [], [], []

    def open_page(script="", **options):
        contexts.append(browser.new_context(**options))
        contexts[-1].add_init_script(script)
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        page.on("request", lambda request: requests.append(urlsplit(request.url)))
        page.on("websocket", lambda socket: requests.append(urlsplit(socket.url)))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(site.url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []
    assert {url.hostname for url in requests if url.scheme not in ("blob", "data")} == {"127.0.0.1"}


@pytest.fixture
def write_sound(tmp_path, make_tone):
    """write_sound(name, pitches, seconds, rate): a file with a sequence of pitches in each channel."""

    def write(name="sound.wav", pitches=(1000,), seconds=0.1, rate=RATE, channels=1, **kwargs):
        sound = np.concatenate([make_tone(pitch, seconds, rate) for pitch in pitches])
        noise = 0.02 * np.random.default_rng(0).standard_normal((len(sound), channels))
        gains = np.linspace(1, 0.3, channels)
        soundfile.write(tmp_path / name, sound[:, None] * gains + noise, rate, **kwargs)
        return tmp_path / name

    return write


def choose(page, file: Path):
    page.get_by_label("Choose a file").set_input_files(file)


def wait_for_answer(page, name: str) -> dict[str, float]:
    """Probabilities of the labels that the page shows for the file `name`, in display order."""
    page.get_by_role("heading", name=name, exact=True).wait_for()
    items = page.locator("#labels li").all()
    return {item.locator(".label").inner_text(): float(item.get_attribute("data-probability")) for item in items}


def error_on(page) -> str:
    page.locator("#error:not(:empty)").wait_for()
    return page.get_by_role("alert").inner_text()


def shown_events(page) -> list[dict]:
    """Events in the page's list, as the pipeline returns them."""
    return [
        {
            "label": item.locator(".label").inner_text(),
            "timestamp": (float(item.get_attribute("data-start")), float(item.get_attribute("data-end"))),
            "score": float(item.get_attribute("data-probability")),
        }
        for item in page.locator("#events li").all()
    ]


def assert_same_events(found: list[dict], expected: list[dict], tolerance: float):
    assert [event["label"] for event in found] == [event["label"] for event in expected]
    for event, other in zip(found, expected, strict=True):
        assert event["timestamp"] == pytest.approx(other["timestamp"], abs=1e-9)
        assert event["score"] == pytest.approx(other["score"], abs=tolerance)
