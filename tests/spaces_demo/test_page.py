"""The page of the demo in Chromium."""

import re

import pytest

from samplecnn_hf import SampleCNNAudioClassificationPipeline
from tests.conftest import LABELS

pytestmark = pytest.mark.slow


@pytest.fixture
def page(space, browser):
    """The open page; no request may go to another host."""
    page = browser.new_page(viewport={"width": 1100, "height": 1000})
    requested = []
    page.set_default_timeout(60_000)
    page.on("request", lambda request: requested.append(request.url))
    page.goto(space.url)
    page.get_by_role("button", name="Classify").wait_for()
    yield page
    page.close()
    elsewhere = [url for url in requested if not url.startswith((space.url, "data:", "blob:"))]
    assert requested and not elsewhere


def top_label(space, path, model="words"):
    return SampleCNNAudioClassificationPipeline.from_pretrained(space.folder / model)(str(path))[0]["label"]


def upload(page, path):
    page.locator("[role=tabpanel]:visible input[type=file]").set_input_files(path)
    page.get_by_role("button", name="Play", exact=True).filter(visible=True).wait_for()


def summary(page) -> str:
    page.locator("#summary strong").wait_for()
    return page.locator("#summary strong").first.inner_text()


def test_upload_and_classify(page, space, write_tone):
    path = write_tone(seconds=1.0)
    upload(page, path)
    page.get_by_role("button", name="Classify").click()
    assert summary(page) == top_label(space, path)
    timeline = page.locator("#timeline img")
    timeline.wait_for()
    size = timeline.bounding_box()
    assert size["width"] > 300 and size["height"] > 100
    what = r"(\w+ from [\d.]+ to [\d.]+ s|no label reaches its threshold)"
    assert re.match(f"Probabilities over time: {what}", timeline.get_attribute("alt"))


def test_an_example_chooses_its_model(page, space):
    page.get_by_text("beep.wav").click()
    page.get_by_role("button", name="Play", exact=True).filter(visible=True).wait_for()
    assert page.get_by_label("Model").first.input_value() == "basic"
    page.get_by_role("button", name="Classify").click()
    assert summary(page) == top_label(space, space.folder / "basic" / "examples" / "beep.wav", "basic")
    assert page.get_by_text("three_words.flac").is_visible()  # an example of the spotter


def test_a_clip_without_events(page, write_tone):
    page.get_by_label("Model").first.click()
    page.get_by_role("option", name="basic").click()
    upload(page, write_tone(seconds=1.0))
    page.get_by_role("button", name="Classify").click()
    page.get_by_text("No label reaches its threshold.", exact=True).wait_for()
    assert not page.locator("#events").is_visible()


def test_microphone(page):
    page.get_by_role("button", name="Record audio").first.click()
    page.get_by_role("button", name="Record", exact=True).click()
    page.wait_for_timeout(1500)
    with page.expect_response("**/upload*"):
        page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("button", name="Play", exact=True).filter(visible=True).wait_for()
    page.wait_for_timeout(500)  # until the page has the path of its recording
    page.get_by_role("button", name="Classify").click()
    assert summary(page) in LABELS


def test_invalid_file_shows_an_error(page, tmp_path):
    path = tmp_path / "notes.wav"
    path.write_text("not audio")
    page.locator("input[type=file]").first.set_input_files(path)
    page.wait_for_timeout(1000)
    page.get_by_role("button", name="Classify").click()
    page.get_by_text(re.compile("cannot be read as audio")).wait_for()


def test_hostile_label_names_are_shown_as_text(page, write_tone):
    dialogs = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    upload(page, write_tone(seconds=0.3))
    page.get_by_label("Model").first.click()
    page.get_by_role("option", name="hostile").click()
    page.get_by_role("button", name="Classify").click()
    summary(page)
    page.locator("#timeline img").wait_for()
    page.get_by_text("Probabilities as a table").click()
    page.get_by_text("onerror").first.wait_for()
    assert not dialogs and page.locator("img[src=x]").count() == 0 and page.locator("#summary a").count() == 0


def test_compare_and_inspect(page, write_tone):
    path = write_tone(seconds=0.5)
    page.get_by_role("tab", name="Compare models").click()
    upload(page, path)
    page.get_by_role("button", name="Compare", exact=True).click()
    page.get_by_test_id("label-output-value").nth(1).wait_for()
    page.get_by_role("tab", name="Inspect the network").click()
    upload(page, path)
    for button, image in (("Show excitations", "#excitations img"), ("Show filters", "#filters img")):
        page.get_by_role("button", name=button).click()
        page.locator(image).wait_for(timeout=60_000)


def test_no_horizontal_scrolling_on_a_phone(page, write_tone):
    page.set_viewport_size({"width": 360, "height": 740})
    page.reload()
    upload(page, write_tone(seconds=1.0))
    page.get_by_role("button", name="Classify").click()
    summary(page)
    page.locator("#timeline img").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
