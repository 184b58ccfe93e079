"""
Take the pictures of the demo in docs/images, with Chromium and its fake microphone.

    python spaces_demo/app.py model_cards/* --port 7860
    python -m tests.spaces_demo.screenshots http://127.0.0.1:7860
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import soundfile
from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[2]
SPOTTER = "samplecnn-speech-commands-synthetic"
COLORS = 256
SIZE = {"width": 1000, "height": 700}


def main(argv: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="of the running demo")
    parser.add_argument("--output_dir", type=Path, default=ROOT / "docs" / "images", help="default: docs/images")
    parser.add_argument(
        "--width", type=int, default=SIZE["width"], help="of the page in pixels (default: %(default)s)"
    )
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        words = Path(folder) / "three_words.wav"
        samples, rate = soundfile.read(ROOT / "spaces_demo" / "examples" / "three_words.flac")
        soundfile.write(words, samples, rate)
        arguments = [
            "--no-sandbox",
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            f"--use-file-for-fake-audio-capture={words}%noloop",
        ]
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        page = browser.new_page(viewport=SIZE | {"width": args.width}, color_scheme="light")
        page.set_default_timeout(60_000)
        page.goto(args.url)
        classify(page, words)
        save(page, args.output_dir / "space.png")
        listen(page, len(samples) / rate)
        save(page, args.output_dir / "space_live.png")
        browser.close()


def classify(page: Page, path: Path):
    page.locator("[role=tabpanel]:visible input[type=file]").set_input_files(path)
    page.get_by_role("button", name="Play", exact=True).filter(visible=True).wait_for()
    choose_model(page)
    page.get_by_role("button", name="Classify").click()
    page.locator("#timeline img").wait_for()


def listen(page: Page, seconds: float):
    page.get_by_role("tab", name="Live").click()
    choose_model(page)
    page.get_by_role("button", name="Record", exact=True).click()
    page.locator("#live-status").get_by_text("Received").wait_for()
    page.wait_for_timeout(1000 * seconds)


def choose_model(page: Page):
    page.get_by_label("Model").filter(visible=True).click()
    page.get_by_role("option", name=SPOTTER).click()


def save(page: Page, path: Path):
    """Save a screenshot of the whole page with few colors."""
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(500)
    page.screenshot(path=path, full_page=True)
    Image.open(path).convert("RGB").quantize(COLORS).save(path, optimize=True)


if __name__ == "__main__":
    main()
