"""The page in Chromium: same probabilities as the pipeline, no requests to other hosts."""

import functools
import itertools
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

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not RUNTIME.is_dir(), reason="needs onnxruntime-web: npm ci --prefix static_demo"),
]

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
        "drop_last": True,
        "short_clips": "tile",
        "do_normalize": True,
        "mean": 0.01,
        "std": 0.5,
    },
}
SETTINGS = [  # for segments of 100 samples
    {},
    {"hop_length": 70},
    {"hop_length": 70, "drop_last": True},
    {"hop_length": 100, "max_segments": 2},
    {"padding_value": 0.5, "mean": -0.1, "std": 2.0},
    {"short_clips": "tile", "do_normalize": True},
    {"short_clips": "repeat"},
    {"short_clips": "repeat", "max_segments": 10, "drop_last": True},
    {"short_clips": "repeat", "max_segments": 3, "hop_length": 70, "mean": 0.1},
]


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


FILES = {
    "mono": {},
    "stereo": {"channels": 2, "subtype": "PCM_24"},
    "shorter than a segment": {"seconds": 0.03},
    "one segment": {"seconds": 1458 / RATE},
    "several segments": {"pitches": (300, 3000, 6000, 1000), "seconds": 0.5},
    "float": {"pitches": (6000,), "subtype": "FLOAT"},
    "8 bits": {"subtype": "PCM_U8"},
    "flac": {"name": "sound.flac", "pitches": (300, 3000)},
}


@pytest.mark.parametrize("name", FILES)
def test_probabilities_match_the_pipeline(open_page, site, write_sound, name):
    check_probabilities(open_page(), site, write_sound(**FILES[name]))


@pytest.mark.parametrize("site", ["multi_label_classification"], indirect=True)
def test_multi_label_probabilities_match_the_pipeline(open_page, site, write_sound):
    page = open_page()
    for name in ("shorter than a segment", "several segments"):
        check_probabilities(page, site, write_sound(f"{name}.wav", **FILES[name]))


def check_probabilities(page, site, file: Path, tolerance: float = 1e-3):
    choose(page, file)
    answer = wait_for_answer(page, file.name)
    expected = {item["label"]: item["score"] for item in site.pipeline(str(file))}
    assert list(answer)[0] == list(expected)[0]
    assert answer == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("pitch", [300, 3000])
def test_other_rates_are_resampled(open_page, site, write_sound, pitch):
    page = open_page()
    for rate in (8000, 16000, 44100, 48000):
        file = write_sound(f"{rate}.wav", pitches=(pitch,), rate=rate, seconds=0.5, channels=2)
        check_probabilities(page, site, file, tolerance=0.02)


def test_segments_match_the_feature_extractor(open_page):
    page = open_page()
    for settings, num_samples in itertools.product(SETTINGS, (1, 30, 99, 100, 101, 170, 200, 250, 1000)):
        extractor = SampleCNNFeatureExtractor(segment_length=100, **settings)
        waveform = np.random.default_rng(num_samples).standard_normal(num_samples).astype(np.float32)
        expected = extractor(waveform, sampling_rate=RATE)["input_values"][0]
        segments = page.evaluate(
            """async ([samples, settings]) => {
                const { cutSegment, fill, segmentStarts } = await import("./segments.js");
                const waveform = fill(Float32Array.from(samples), settings);
                const starts = segmentStarts(waveform.length, settings);
                return starts.map((start) => [...cutSegment(waveform, start, settings)]);
            }""",
            [waveform.tolist(), extractor.to_dict()],
        )
        np.testing.assert_allclose(segments, expected, atol=1e-3, err_msg=f"{settings}, {num_samples} samples")


def test_timeline(open_page, write_sound):
    page = open_page()
    file = write_sound(pitches=(300, 6000), seconds=1458 * 5 / RATE)
    choose(page, file)
    assert set(wait_for_answer(page, file.name)) == set(LABELS)
    assert page.locator("#length").inner_text() == "0.7 s"
    rows = page.locator("#timeline").get_by_role("img")
    assert rows.count() == len(LABELS)
    highest = {name: rows.nth(i).get_attribute("aria-label") for i, name in enumerate(page_labels(page))}
    assert highest["low"].endswith(("at 0.0 s", "at 0.1 s", "at 0.2 s", "at 0.3 s"))
    assert highest[list(LABELS)[3]].endswith(("at 0.3 s", "at 0.4 s", "at 0.5 s", "at 0.6 s"))


def page_labels(page) -> list[str]:
    return page.locator("#timeline .track-label").all_inner_texts()


def test_one_segment_has_no_timeline(open_page, write_sound):
    page = open_page()
    file = write_sound(seconds=0.05)
    choose(page, file)
    wait_for_answer(page, file.name)
    assert not page.get_by_role("heading", name="Probabilities over time").is_visible()


def test_drag_and_drop(open_page, site, write_sound):
    file = write_sound("dropped.wav", pitches=(6000,))
    page = open_page()
    data = page.evaluate_handle(
        """(bytes) => {
            const data = new DataTransfer();
            data.items.add(new File([Uint8Array.from(bytes)], "dropped.wav"));
            return data;
        }""",
        list(file.read_bytes()),
    )
    page.dispatch_event("body", "dragover", {"dataTransfer": data})
    page.dispatch_event("body", "drop", {"dataTransfer": data})
    answer = wait_for_answer(page, "dropped.wav")
    assert answer == pytest.approx({item["label"]: item["score"] for item in site.pipeline(str(file))}, abs=1e-3)


def test_recording_with_the_keyboard(open_page):
    page = open_page()
    page.keyboard.press("Tab")
    assert page.get_by_label("Choose a file").evaluate("element => element === document.activeElement")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_text("Recording…").wait_for()
    page.wait_for_timeout(1000)  # milliseconds
    assert page.get_by_role("timer").inner_text().endswith(" s")
    page.keyboard.press("Enter")  # the button is "Stop" now
    answer = wait_for_answer(page, "Recording")
    assert max(answer, key=answer.get) == "middle"  # the microphone plays 1000 Hz
    assert float(page.locator("#length").inner_text().split()[0]) > 0.7
    assert page.get_by_role("button", name="Record").is_visible()
    assert page.get_by_role("status").inner_text().startswith("Recording: middle")


def test_new_audio_replaces_a_running_classification(open_page, site, write_sound):
    long, short = write_sound("long.wav", seconds=120), write_sound("short.wav", pitches=(300,))
    page = open_page()
    choose(page, long)
    page.get_by_role("progressbar").wait_for()
    choose(page, short)
    answer = wait_for_answer(page, "short.wav")
    assert answer == pytest.approx({item["label"]: item["score"] for item in site.pipeline(str(short))}, abs=1e-3)
    page.wait_for_timeout(500)
    assert not page.get_by_role("progressbar").is_visible()
    assert page.get_by_role("heading", level=2).inner_text() == "short.wav"


def test_page_stays_responsive(open_page, write_sound):
    page = open_page()
    page.evaluate(
        """() => {
            const watch = async () => {
                const started = performance.now();
                let last = started, longest = 0;
                while (document.getElementById("results").hidden) {
                    await new Promise((resolve) => setTimeout(resolve));
                    longest = Math.max(longest, performance.now() - last);
                    last = performance.now();
                }
                return longest / (last - started);
            };
            window.longestPause = watch(); // of the event loop, as a fraction of the whole time
        }"""
    )
    choose(page, write_sound(seconds=60))
    assert page.evaluate("window.longestPause") < 0.5


@pytest.mark.parametrize("content", [b"This is a text.", b"", b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00"])
def test_invalid_file(open_page, tmp_path, write_sound, content):
    (tmp_path / "poem.wav").write_bytes(content)
    page = open_page()
    choose(page, tmp_path / "poem.wav")
    assert "“poem.wav” could not be decoded: please choose a wav" in error_on(page)
    assert not page.locator("#results").is_visible()
    choose(page, write_sound())
    wait_for_answer(page, "sound.wav")
    assert page.get_by_role("alert").inner_text() == ""


def test_too_long(open_page, tmp_path):
    soundfile.write(tmp_path / "speech.wav", np.zeros(601 * 8000), 8000, subtype="PCM_U8")
    page = open_page()
    choose(page, tmp_path / "speech.wav")
    assert error_on(page) == "The audio is longer than 10 minutes: please choose a shorter file."


@pytest.mark.parametrize(
    ("error", "message"),
    [("NotAllowedError", "Access to the microphone was denied"), ("NotFoundError", "No microphone")],
)
def test_no_microphone(open_page, error, message):
    page = open_page(f"navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', '{error}'));")
    page.get_by_role("button", name="Record").click()
    assert message in error_on(page)
    assert page.get_by_role("button", name="Record").is_enabled()


def test_browser_without_webassembly(open_page):
    page = open_page("delete globalThis.WebAssembly;")
    assert "This browser does not support WebAssembly" in error_on(page)


def test_requests_to_other_hosts_are_blocked(open_page):
    page = open_page()
    directive = page.evaluate(
        """() => new Promise((resolve) => {
            addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective));
            fetch("https://example.org/", { method: "POST", body: "audio" }).catch(() => {});
            setTimeout(resolve, 5000, "not blocked");
        })"""
    )
    assert directive == "connect-src"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_horizontal_scrolling_on_a_phone(open_page, write_sound, theme):
    page = open_page(viewport={"width": 360, "height": 740}, color_scheme=theme)
    file = write_sound(f"a_{'very_' * 20}long_name.wav", seconds=0.5)
    choose(page, file)
    wait_for_answer(page, file.name)
    assert page.get_by_text("Audio is processed in your browser and never uploaded.").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
