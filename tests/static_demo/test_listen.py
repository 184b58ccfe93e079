"""Live classification: windows and events equal those of the package; the microphone is released."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from samplecnn_hf import KeywordDetector, SampleCNNFeatureExtractor, SampleCNNStream
from samplecnn_hf.events_samplecnn import find_events, timeline_extractor
from tests.static_demo.conftest import (
    LABELS,
    NEEDS_RUNTIME,
    RATE,
    assert_same_events,
    choose,
    error_on,
    wait_for_answer,
)

pytestmark = [pytest.mark.slow, NEEDS_RUNTIME]

# Keeps the streams of the microphone, to see whether they are released.
WATCH_MICROPHONE = """
    window.streams = [];
    const getUserMedia = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (options) => {
        window.streams.push(await getUserMedia(options));
        return window.streams.at(-1);
    };
"""
EVALUATE_STREAM = """async ([blocks, hopSeconds]) => {
    const { loadClassifier } = await import("./classifier.js");
    const { WindowStream, windowSettings } = await import("./stream.js");
    const classifier = await loadClassifier();
    const stream = new WindowStream(windowSettings(classifier.settings, hopSeconds));
    const windows = [...blocks.flatMap((block) => stream.push(Float32Array.from(block))), ...stream.flush()];
    const rows = [];
    for (const { samples, ...times } of windows) {
        const [probabilities] = await classifier.classifySegments([samples]);
        rows.push({ ...times, scores: Object.fromEntries(probabilities.map((p, i) => [classifier.labels[i], p])) });
    }
    return rows;
}"""
EVALUATE_EVENTS = """async ([detector, model, hopSeconds, windows]) => {
    const made = new (await import("./events.js"))[detector](model, hopSeconds);
    return [...new Set([...windows.flatMap((window) => made.push(window)), ...made.flush()])];
}"""


def microphone_is_released(page) -> bool:
    states = page.evaluate("window.streams.flatMap((stream) => stream.getTracks()).map((track) => track.readyState)")
    assert len(states) > 0
    return set(states) == {"ended"}


def serve_changed(page, name: str, change):
    """Reload the page with another text of one of its files."""
    page.route(f"**/{name}", lambda route: route.fulfill(response=(r := route.fetch()), body=change(r.text())))
    page.reload()


def start_listening(page):
    page.get_by_role("button", name="Listen").click()
    page.get_by_text("Listening…").wait_for()


def stop_listening(page):
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped", exact=True).wait_for()


@pytest.mark.parametrize("site", ["single_label_classification", "multi_label_classification"], indirect=True)
def test_rows_are_those_of_the_package(open_page, site):
    page, generator = open_page(), np.random.default_rng(0)
    for num_samples, hop_length_s in ((20, 0.05), (1458, 0.05), (1500, 1458 / RATE), (12_345, 0.03), (9000, 0.015)):
        time = np.arange(num_samples) / RATE
        pitches = np.sin(2 * np.pi * 1000 * time * (1 + time))
        audio = (0.3 * pitches + 0.02 * generator.standard_normal(num_samples)).astype(np.float32)
        stream = SampleCNNStream(site.pipeline.model, site.pipeline.feature_extractor, hop_length_s)
        expected = stream.push(audio) + stream.flush()
        blocks = np.split(audio, np.sort(generator.integers(0, num_samples, 9)))  # of any size
        rows = page.evaluate(EVALUATE_STREAM, [[block.tolist() for block in blocks], hop_length_s])
        assert len(rows) == len(expected)
        for row, other in zip(rows, expected, strict=True):
            assert (row["start"], row["end"]) == pytest.approx(other["timestamp"])
            assert row["scores"] == pytest.approx({x["label"]: x["score"] for x in other["scores"]}, abs=1e-4)


def test_hops_are_rounded_as_in_the_package(open_page):
    page = open_page()
    for rate, length, normalize, hop_length_s in [
        (16_000, 16_000, True, 0.25),
        (16_000, 16_000, False, 0.25),
        (22_050, 22_050, True, 0.25),  # 5512.5 samples
        (22_050, 22_050, False, 0.25),
        (22_050, 59_049, False, 0.25),
        (8_000, 2_000, False, 0.25),
        (16_000, 16_000, False, 0.1),
    ]:
        extractor = SampleCNNFeatureExtractor(sampling_rate=rate, segment_length=length, do_normalize=normalize)
        hop_length = page.evaluate(
            "async (arguments) => (await import('./stream.js')).windowSettings(...arguments).hop_length",
            [extractor.to_dict(), hop_length_s],
        )
        assert hop_length == timeline_extractor(extractor, hop_length_s).hop_length


def make_windows(hop_length_s=0.25, count=200):
    """Windows of one second for three labels, whose scores change slowly."""
    noise = np.random.default_rng(0).standard_normal((count + 4, 3))
    scores = 1 / (1 + np.exp(-sum(noise[i : i + count] for i in range(5))))
    scores[50:53, 2] = 1  # a threshold of 1 is not reached
    starts = hop_length_s * np.arange(count)
    return scores, np.stack([starts, starts + 1], axis=1)


def to_windows(scores, timestamps) -> list[dict]:
    return [
        {"start": start, "end": end, "probabilities": row}
        for (start, end), row in zip(timestamps.tolist(), scores.tolist(), strict=True)
    ]


@pytest.mark.parametrize("thresholds", [None, [0.3, 0.9, 1.0]])
def test_events_are_those_of_the_package(open_page, thresholds):
    labels, (scores, timestamps) = ["a", "b", "c"], make_windows()
    expected = find_events(scores, timestamps, labels, thresholds or [0.5] * 3, minimum_event_gap_s=0.5)
    model = {"labels": labels, "thresholds": thresholds}
    found = open_page().evaluate(EVALUATE_EVENTS, ["EventDetector", model, 0.25, to_windows(scores, timestamps)])
    found = [{**event, "timestamp": (event["start"], event["end"])} for event in found]
    found.sort(key=lambda event: event["timestamp"])
    assert len(expected) > 20
    assert_same_events(found, expected, tolerance=1e-9)


@pytest.mark.parametrize("hop_length_s", [0.25, 5589 / 22_050, 0.3])
def test_detections_are_those_of_the_package(open_page, hop_length_s):
    scores, timestamps = make_windows(hop_length_s)
    config = SimpleNamespace(labels=["_unknown_", "a", "b"], num_labels=3, thresholds=[1.0, 0.8, 0.7])
    detect, expected = KeywordDetector(config, hop_length_s), []
    for timestamp, row in zip(timestamps, scores, strict=True):
        items = [{"label": label, "score": score} for label, score in zip(config.labels, row, strict=True)]
        expected.append(detect({"timestamp": tuple(timestamp), "scores": items}))
    expected = [detection for detection in expected if detection is not None]
    arguments = ["KeywordDetector", vars(config), hop_length_s, to_windows(scores, timestamps)]
    found = open_page().evaluate(EVALUATE_EVENTS, arguments)
    found = [{**event, "timestamp": (event["start"], event["end"])} for event in found]
    assert len(expected) > 10
    assert_same_events(found, expected, tolerance=1e-9)


@pytest.mark.parametrize("rate", [16_000, 22_050])
def test_the_browser_resamples_the_microphone(open_page, rate):
    samples = open_page().evaluate(
        """async (samplingRate) => {
            const { capture } = await import("./audio.js");
            const blocks = [];
            const { stop } = await capture((block) => blocks.push(...block), { samplingRate });
            for (let i = 0; blocks.length < samplingRate && i < 200; i++) {
                await new Promise((resolve) => setTimeout(resolve, 50));
            }
            await stop();
            return blocks.slice(-samplingRate / 2);
        }""",
        rate,
    )
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    assert spectrum.argmax() * rate / len(samples) == pytest.approx(1000, abs=4)  # Hz


def test_listening(open_page):
    page = open_page(WATCH_MICROPHONE)
    start_listening(page)
    assert page.get_by_role("button", name="Record").is_disabled()
    event = page.get_by_role("listitem").filter(has_text="since")
    event.wait_for()
    assert event.locator(".label").inner_text() == "middle"  # the microphone plays 1000 Hz
    assert event.locator("xpath=..").get_attribute("aria-live") == "polite"
    assert set(LABELS) > set(page.locator("#labels .label").all_inner_texts()) > {"middle"}
    assert page.get_by_role("timer").inner_text().endswith(" s")
    assert not microphone_is_released(page)

    stop_listening(page)
    assert microphone_is_released(page)
    assert page.get_by_role("listitem").filter(has_text=" – ").count() > 0  # the event has an end
    assert page.get_by_role("listitem").filter(has_text="since").count() == 0
    assert page.get_by_role("status").inner_text().startswith("Stopped; ")
    for name in ("Record", "Listen"):
        assert page.get_by_role("button", name=name).is_enabled()
    start_listening(page)  # again
    event.wait_for()


def test_a_keyword_spotter_detects_at_most_one_word_per_second(open_page):
    page = open_page()
    names = ["_silence_", "middle", "_unknown_", "other"]
    change = {"id2label": dict(enumerate(names)), "thresholds": [1, 0.5, 1, 0.5]}
    serve_changed(page, "config.json", lambda text: json.dumps(json.loads(text) | change))
    start_listening(page)
    assert page.get_by_role("heading", name="Detected words").is_visible()
    page.locator("#events li").nth(2).wait_for()
    starts = [float(item.get_attribute("data-start")) for item in page.locator("#events li").all()]
    assert set(page.locator("#events .label").all_inner_texts()) == {"middle"}
    assert np.all(np.diff(starts[::-1]) > 0.9)  # the newest is the first


def test_a_slow_device_skips_windows_and_says_so(open_page):
    page = open_page()
    head = "async classifySegments(segments) {"
    wait = "await new Promise((resolve) => setTimeout(resolve, 500));"
    serve_changed(page, "classifier.js", lambda text: text.replace(head, head + wait))
    start_listening(page)
    page.get_by_text("This device classifies").wait_for()
    page.wait_for_timeout(2000)  # milliseconds
    words = page.locator("#skipped").inner_text().split()  # This device classifies 2.0 windows per second; 20 skipped.
    assert 0.5 < float(words[3]) <= 2
    assert int(words[-2]) > 10
    assert page.get_by_text("Listening…").is_visible()
    clock = float(page.get_by_role("timer").inner_text().split()[0])
    shown = float(page.locator("#events li").first.get_attribute("data-start"))
    assert shown < clock
    stop_listening(page)


def test_a_file_ends_listening(open_page, write_sound):
    page = open_page(WATCH_MICROPHONE)
    start_listening(page)
    file = write_sound(pitches=(300,))
    choose(page, file)
    answer = wait_for_answer(page, file.name)
    assert max(answer, key=answer.get) == "low"
    assert microphone_is_released(page)
    assert page.get_by_role("button", name="Listen").is_enabled()
    page.wait_for_timeout(300)
    assert page.get_by_role("heading", level=2).inner_text() == file.name


@pytest.mark.parametrize("button", ["Record", "Listen"])
def test_a_file_that_is_chosen_while_the_microphone_opens(open_page, write_sound, button):
    open_late = "await new Promise((resolve) => setTimeout(resolve, 1000)); window.streams.push"
    page = open_page(WATCH_MICROPHONE.replace("window.streams.push", open_late))
    page.get_by_text("raw waveform").wait_for()  # the model is loaded
    page.get_by_role("button", name=button).click()
    file = write_sound(pitches=(300,))
    choose(page, file)
    wait_for_answer(page, file.name)
    page.wait_for_timeout(2000)  # milliseconds; the microphone has been opened
    assert microphone_is_released(page)
    assert page.get_by_role("heading", level=2).inner_text() == file.name
    assert page.get_by_role("button", name=button).is_enabled()


def test_microphone_is_disconnected(open_page):
    page = open_page(WATCH_MICROPHONE)
    start_listening(page)
    page.evaluate("window.streams[0].getTracks()[0].dispatchEvent(new Event('ended'))")
    assert error_on(page) == "The microphone was disconnected: please connect it and try again."
    assert microphone_is_released(page)
    assert page.get_by_role("button", name="Listen").is_enabled()


def test_browser_that_does_not_resample(open_page):
    fail = (
        "AudioContext.prototype.createMediaStreamSource = () => { throw new DOMException('', 'NotSupportedError'); };"
    )
    page = open_page(WATCH_MICROPHONE + fail)
    page.get_by_role("button", name="Listen").click()
    assert error_on(page).startswith("This browser cannot resample the microphone: please press “Record”")
    assert microphone_is_released(page)


def test_browser_that_does_not_start_the_sound(open_page):
    suspend = """
        AudioContext.prototype.resume = () => new Promise(() => {});
        Object.defineProperty(BaseAudioContext.prototype, "state", { get: () => "suspended" });
    """
    page = open_page(WATCH_MICROPHONE + suspend)
    page.get_by_role("button", name="Listen").click()
    assert error_on(page) == "The browser did not start the microphone: please press the button again."
    assert microphone_is_released(page)


def test_error_while_listening(open_page):
    page = open_page(WATCH_MICROPHONE)
    head = "async classifySegments(segments) {"
    serve_changed(page, "classifier.js", lambda text: text.replace(head, head + "throw new Error('out of memory');"))
    page.get_by_role("button", name="Listen").click()
    assert error_on(page) == "Unexpected error: out of memory. Please reload the page."
    page.get_by_role("button", name="Listen").wait_for()
    assert microphone_is_released(page)


def test_live_results_fit_a_phone(open_page):
    page = open_page(viewport={"width": 390, "height": 844})
    start_listening(page)
    page.locator("#events li").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
