"""The page in Chromium: same probabilities as the pipeline, no requests to other hosts."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from samplecnn_hf import SampleCNNFeatureExtractor
from tests.static_demo.conftest import (
    LABELS,
    NEEDS_RUNTIME,
    RATE,
    assert_same_events,
    choose,
    error_on,
    shown_events,
    wait_for_answer,
)

pytestmark = [pytest.mark.slow, NEEDS_RUNTIME]

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


@pytest.mark.parametrize("site", ["single_label_classification", "multi_label_classification"], indirect=True)
def test_timeline_and_events_have_the_same_times(open_page, site, write_sound):
    page = open_page()
    file = write_sound(pitches=(300, 6000, 300, 1000), seconds=0.7)
    choose(page, file)
    wait_for_answer(page, file.name)
    path = page.locator("#timeline path").first.get_attribute("d")
    steps = {float(step) for step in re.findall(r"H([\d.]+)", path)}
    times = {time for event in shown_events(page) for time in event["timestamp"]} - {0.0}
    assert len(times) >= 4
    for time in times:
        assert min(abs(time - step) for step in steps) < 1e-6


def page_labels(page) -> list[str]:
    return page.locator("#timeline .track-label").all_inner_texts()


@pytest.mark.parametrize("site", ["single_label_classification", "multi_label_classification"], indirect=True)
def test_events_are_those_of_the_pipeline(open_page, site, write_sound):
    page = open_page()
    file = write_sound(pitches=(300, 6000, 300, 1000), seconds=1.2)
    choose(page, file)
    wait_for_answer(page, file.name)
    expected = site.pipeline(str(file), events=True, minimum_event_gap_s=0.5)["events"]
    assert len(expected) >= 4
    assert_same_events(shown_events(page), expected, tolerance=1e-3)


def test_one_segment_has_no_timeline(open_page, write_sound):
    page = open_page()
    file = write_sound(seconds=0.05)
    choose(page, file)
    wait_for_answer(page, file.name)
    assert not page.get_by_role("heading", name="Probabilities over time").is_visible()
    assert not page.get_by_role("heading", name="Events").is_visible()


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


@pytest.mark.parametrize("button", ["Record", "Listen"])
@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("NotAllowedError", "Access to the microphone was denied"),
        ("NotFoundError", "No microphone"),
        ("NotReadableError", "The microphone is in use"),
    ],
)
def test_no_microphone(open_page, button, error, message):
    page = open_page(f"navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', '{error}'));")
    page.get_by_role("button", name=button).click()
    assert message in error_on(page)
    assert "\n" not in error_on(page)
    assert not page.locator("#results").is_visible()
    for name in ("Record", "Listen"):
        assert page.get_by_role("button", name=name).is_enabled()


def test_a_file_cannot_replace_a_recording(open_page):
    page = open_page()
    page.get_by_role("button", name="Record").click()
    page.get_by_text("Recording…").wait_for()
    assert page.get_by_label("Choose a file").is_disabled()
    page.wait_for_timeout(500)
    page.get_by_role("button", name="Stop").click()
    wait_for_answer(page, "Recording")
    assert page.get_by_label("Choose a file").is_enabled()


def test_a_model_that_cannot_be_loaded(open_page):
    page = open_page()
    page.route("**/model.onnx", lambda route: route.abort())
    page.reload()
    assert error_on(page) == "The model could not be loaded: please check the connection and reload the page."
    assert not page.get_by_text("Loading the model…").is_visible()


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
