"""The live tab: its endpoints called with `gradio_client`, and the page in Chromium with its fake microphone."""

import re
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from samplecnn_hf import KeywordDetector, SampleCNNStream
from tests.conftest import LABELS
from tests.spaces_demo.conftest import SEGMENT_SECONDS, WORDS
from tests.spaces_demo.test_api import not_a_number, pipeline, rows, scores, text

pytestmark = pytest.mark.slow

HOP_SECONDS = SEGMENT_SECONDS / 3
MAX_VISITORS = 4
SHOWN_EVENTS = 8


class Visitor:
    """A visitor who records, one chunk after another."""

    def __init__(self, space, folder):
        self.client = Client(space.url, verbose=False)
        self.chunk = folder / f"chunk_{id(self)}.wav"

    def send(self, samples, rate, model="words"):
        soundfile.write(self.chunk, samples, rate)
        return self.client.predict(handle_file(str(self.chunk)), model, api_name="/live")

    def record(self, path, model, chunk_seconds=0.3):
        """Send a file in chunks. Returns the last label, and the events and the status at the end."""
        samples, rate = soundfile.read(path, dtype="int16")
        for start in range(0, len(samples), round(chunk_seconds * rate)):
            label = self.send(samples[start : start + round(chunk_seconds * rate)], rate, model)[0]
        no_label, events, status = self.end()
        assert no_label == {}
        return label, events, status

    def end(self):
        return self.client.predict(api_name="/live_end")

    def leave(self):
        self.client.close()


@pytest.fixture
def visit(space, tmp_path):
    """visit(): a visitor of the demo; all leave after the test."""
    visitors = []

    def visit() -> Visitor:
        visitors.append(Visitor(space, tmp_path))
        return visitors[-1]

    yield visit
    for visitor in visitors:
        visitor.end()
        visitor.leave()


def shown(events) -> list[tuple]:
    return [(event["label"], event["from (s)"], event["to (s)"], event["score"]) for event in rows(events)]


def expected_events(space, path, model):
    events = pipeline(space, model)(str(path), events=True, hop_length_s=HOP_SECONDS, minimum_event_gap_s=0.5)[
        "events"
    ]
    assert len(events) > 1
    return latest(events)


def latest(events):
    """As they are shown."""
    return [
        (event["label"], *(pytest.approx(value, abs=0.006) for value in (*event["timestamp"], event["score"])))
        for event in reversed(events[-SHOWN_EVENTS:])
    ]


@pytest.mark.parametrize("model, rate", [("words", 22050), ("tags", 22050), ("tags", 48000), ("words", 16000)])
def test_events_are_those_of_the_pipeline(space, visit, write_changes, model, rate):
    path = write_changes(rate)
    _, events, status = visit().record(path, model)
    assert shown(events) == expected_events(space, path, model)
    assert status == "Stopped after 6.6 s."


def test_words_are_those_of_the_detector(space, visit, write_changes):
    path = write_changes()
    classifier = pipeline(space, "spotter")
    stream = SampleCNNStream(classifier.model, classifier.feature_extractor, HOP_SECONDS)
    detect = KeywordDetector(classifier.model.config, stream.hop_length_s)
    samples = soundfile.read(path, dtype="float32")[0]
    shown_rows, last_rows = stream.push(samples), stream.flush()
    found = [detection for row in shown_rows + last_rows if (detection := detect(row))]
    assert len(found) == 7
    label, events, _ = visit().record(path, "spotter")
    assert shown(events) == latest(found)
    best = shown_rows[-1]["scores"][:3]
    assert scores(label) == pytest.approx({item["label"]: item["score"] for item in best}, abs=1e-4)


def test_each_visitor_has_a_recording(space, visit, write_changes, write_tone):
    """Two recordings at the same time, with different models and sampling rates, and a clip in between."""
    changes, tone = write_changes(), write_tone(seconds=1.2, sampling_rate=44100)
    visitors, alone = [visit(), visit()], [visit().record(changes, "words"), visit().record(tone, "tags")]
    for part in range(4):
        for visitor, path, model in zip(visitors, (changes, tone), ("words", "tags"), strict=True):
            samples, rate = soundfile.read(path, dtype="int16")
            visitor.send(np.array_split(samples, 4)[part], rate, model)
        classified = visitors[0].client.predict(handle_file(str(tone)), "basic", api_name="/classify")
        assert scores(classified[1])
    for visitor, (_, events, _) in zip(visitors, alone, strict=True):
        assert shown(visitor.end()[1]) == shown(events)


def test_another_model_or_rate_starts_again(visit, make_tone):
    visitor, tone = visit(), make_tone(seconds=0.5)
    assert visitor.send(tone, 22050)[2].startswith("Received 0.5 s.")
    assert visitor.send(tone, 22050)[2].startswith("Received 1.0 s.")
    label, events, status = visitor.send(tone, 22050, "spotter")
    assert scores(label).keys() < set(WORDS) and status.startswith("Received 0.5 s.")
    assert all(event["from (s)"] < 0.5 for event in rows(events))
    assert visitor.send(tone, 11025, "spotter")[2].startswith("Received 1.0 s.")


def test_a_recording_starts_empty(visit, make_tone):
    visitor = visit()
    visitor.send(make_tone(seconds=0.5), 22050)
    _, events, status = visitor.client.predict(api_name="/live_start")
    assert rows(events) == [] and status == "Listening."
    assert visitor.send(make_tone(seconds=0.5), 22050)[2].startswith("Received 0.5 s.")


def test_chunks_shorter_than_a_window(visit):
    visitor = visit()
    label, events, status = visitor.send(np.zeros(10), 22050)
    assert label == {} and rows(events) == [] and status.startswith("Received 0.0 s.")
    assert visitor.end()[2] == "Stopped after 0.0 s."


def too_long(path):
    soundfile.write(path, np.zeros(3600 * 8000, dtype=np.int16), 8000, format="FLAC")


def too_slow(path):
    soundfile.write(path, np.zeros(100, dtype=np.int16), 20)


@pytest.mark.parametrize(
    "write, message",
    [
        (text, "This chunk cannot be read as audio"),
        (not_a_number, "NaN"),
        (too_long, "A chunk is at most 10 seconds long"),
        (too_slow, "Sampling_rate must be"),
    ],
)
def test_invalid_chunks(visit, tmp_path, make_tone, write, message):
    visitor, path = visit(), tmp_path / "invalid.wav"
    write(path)
    with pytest.raises(AppError, match=message) as rejected:
        visitor.client.predict(handle_file(str(path)), "words", api_name="/live")
    assert "\n" not in str(rejected.value)
    assert scores(visitor.send(make_tone(), 22050)[0])


@pytest.mark.parametrize("model", ["../../etc/passwd", "", None])
def test_unknown_model(visit, make_tone, model):
    with pytest.raises(AppError, match="not in the list of choices|Unknown model"):
        visit().send(make_tone(), 22050, model)


def test_places_are_limited_and_freed_when_a_visitor_leaves(visit, make_tone):
    tone = make_tone(seconds=0.5)
    visitors = [visit() for _ in range(MAX_VISITORS + 1)]
    for visitor in visitors[:-1]:
        assert visitor.send(tone, 22050)[2].startswith("Received")
    assert visitors[-1].send(tone, 22050)[2].startswith(f"All {MAX_VISITORS} places are in use: press Stop")
    assert visitors[0].send(tone, 22050)[2].startswith("Received 1.0 s.")  # not disturbed
    visitors[0].leave()
    for _ in range(100):
        status = visitors[-1].send(tone, 22050)[2]
        if status.startswith("Received"):
            break
        time.sleep(0.2)
    assert status.startswith("Received 0.5 s.")


@pytest.fixture
def places(monkeypatch):
    """Recordings without networks, with a clock: push(visitor), leave(visitor), wait(seconds)."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "spaces_demo")
    import live

    now = [0.0]
    monkeypatch.setattr(live, "time", SimpleNamespace(monotonic=lambda: now[0]))

    class Recording:
        def __init__(self, model, classifier, sampling_rate):
            self.model, self.sampling_rate, self.started = model, sampling_rate, now[0]

        def push(self, samples):
            self.last_chunk = now[0]

    monkeypatch.setattr(live, "Recording", Recording)
    recordings = live.Recordings({"words": None})

    def push(visitor: str) -> str:
        try:
            recordings.push(visitor, "words", 22050, [])
            return "recording"
        except live.NoPlaceError as error:
            return str(error)

    def wait(seconds: float):
        now[0] += seconds

    return SimpleNamespace(push=push, leave=recordings.remove, wait=wait)


def record_for(places, visitors: str, seconds: int) -> list[str]:
    for _ in range(seconds):
        places.wait(1)
        answers = [places.push(visitor) for visitor in visitors]
    return answers


def test_one_recording_gives_way_after_two_minutes(places):
    assert set(record_for(places, "ABCD", 100)) == {"recording"}
    assert places.push("E").endswith("try again in two minutes.")
    assert set(record_for(places, "ABCD", 30)) == {"recording"}
    assert places.push("E") == "recording"
    gave_way, *others = record_for(places, "ABCDE", 3)  # A's page goes on sending
    assert gave_way.startswith("Your recording was stopped") and set(others) == {"recording"}
    places.leave("A")  # it stops
    assert places.push("A") == "recording" and places.push("B").startswith("Your recording was stopped")


def test_idle_visitors_give_way_first(places):
    for visitor in "ABCD":
        places.push(visitor)
    assert set(record_for(places, "ABD", 60)) == {"recording"}
    assert places.push("E") == "recording" and places.push("C").startswith("Your recording was stopped")
    assert set(record_for(places, "ABDE", 1)) == {"recording"}


def test_an_event_has_no_end_while_it_lasts(visit, write_changes):
    samples, rate = soundfile.read(write_changes(), dtype="int16")
    visitor, ends = visit(), {}
    for start in range(0, len(samples), rate // 10):
        for label, begin, end, _ in shown(visitor.send(samples[start : start + rate // 10], rate)[1]):
            ends.setdefault((label, begin), []).append(end)
    assert len(ends) > 1
    assert any(None in times and times[-1] is not None for times in ends.values())
    for times in ends.values():
        known = [end for end in times if end is not None]
        assert known == sorted(known)  # a short gap is closed: the event ends later


@pytest.fixture
def page(space, browser):
    """The live tab of the page, as on a phone."""
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.set_default_timeout(60_000)
    page.goto(space.url)
    page.get_by_role("tab", name="Live").click()
    yield page
    page.close()


def seconds_heard(page, at_least=0.0) -> float:
    """Wait until the page shows that it heard as much."""
    for _ in range(600):
        status = page.locator("#live-status").get_by_text(re.compile("Received|Stopped"))
        status.wait_for()
        seconds = float(re.search(r"([\d.]+) s", status.inner_text())[1])
        if seconds >= at_least:
            return seconds
        page.wait_for_timeout(100)
    raise AssertionError(f"only {seconds} s were received")


def test_record_in_the_page(page):
    """The tone of the fake microphone, in chunks of half a second."""
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="Record", exact=True).click()
    for at_least in (0.5, 1.5, 2.5):
        assert seconds_heard(page, at_least) % 0.5 == 0
    label = page.locator("#live-label")
    assert any(name in label.inner_text() for name in LABELS)
    page.get_by_label("Model").filter(visible=True).click()
    page.get_by_role("option", name="spotter").click()
    page.locator("#live-events").get_by_text(re.compile("bird|cat|dog")).filter(visible=True).first.wait_for()
    assert any(name in label.inner_text() for name in WORDS)
    page.get_by_role("button", name="Stop", exact=True).click()
    page.locator("#live-status").get_by_text("Stopped after").wait_for()
    heard = seconds_heard(page)
    page.wait_for_timeout(1000)
    assert seconds_heard(page) == heard
    assert not any(name in label.inner_text() for name in WORDS)
    page.get_by_role("button", name="Record", exact=True).click()
    page.get_by_text("Listening.").wait_for()
    assert seconds_heard(page) < heard + 0.5


def test_hostile_label_names_are_shown_as_text(page):
    dialogs = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.get_by_label("Model").filter(visible=True).click()
    page.get_by_role("option", name="hostile").click()
    page.get_by_role("button", name="Record", exact=True).click()
    # As they are written, not as HTML, Markdown or a formula.
    shown = re.compile(r"<img src=x onerror|\*\*bold\*\* \[link\]|\$x\^2\$")
    page.locator("#live-label").get_by_text(shown).first.wait_for()
    assert not dialogs and page.locator("#live-label :is(img, strong, a, .katex)").count() == 0
