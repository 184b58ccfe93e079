import re
from html.parser import HTMLParser

import pytest

from samplecnn_hf.text import printable
from tests.conftest import NASTY_NAMES
from training.experiments import __main__ as experiments
from training.experiments.output import write_result

COMMAND = "python -m training.experiments table_2 --quick"


@pytest.fixture
def page(tmp_path):
    """page(**changes): the report of one result, a Table II."""

    def page(**changes):
        rows = [
            {
                "filter": size,
                "stride": size,
                "network": f"<b>{size}",
                "runs": 1,
                "mean": mean,
                "sd": None,
                "paper": 0.9,
            }
            for size, mean in ((27, None), (9, 0.25), (3, 0.75))
        ]
        result = {
            "experiment": "table_2",
            "command": COMMAND,
            "date": "2026-01-01",
            "data": "tones-synthetic",
            "split": "validation",
            "folds": None,
            "keep": "best",
            "metric": "accuracy",
            "synthetic": True,
            "quick": False,
            "clips": {"train": 10, "validation": 5},
            "runs": {"finished": 2, "planned": 3},
            "tables": {"table_2": rows},
        }
        write_result(result | changes, tmp_path / "results" / "tones")
        experiments.main(["report", f"--output_dir={tmp_path / 'results'}"])
        return tmp_path / "results" / "report.html"

    return page


def test_what_is_there_and_what_is_not(page, capsys):
    text = page().read_text()
    assert capsys.readouterr().out == f"wrote {page()}\n"
    assert (
        "accuracy on the validation split of tones-synthetic (5 synthetic clips), on which the best epoch was chosen"
        in text
    )
    assert "on which the best epoch was chosen" not in page(keep="last").read_text()
    text = page().read_text()
    assert f"2 of 3 runs are done; the same command goes on: {COMMAND}" in text
    assert "<td>0.7500</td><td>–</td><td>0.9000</td>" in text
    assert text.count("<svg") == 1 and text.count("No results yet: <code>python -m training.experiments ") == 10
    assert "&lt;b&gt;27" in text and "<b>27" not in text
    assert "QUICK CHECK, scores mean nothing" not in text
    assert text.count("QUICK CHECK, scores mean nothing") < page(quick=True).read_text().count("QUICK CHECK")


class Seen(HTMLParser):
    """The texts of a page, and its tags."""

    def __init__(self, page: str):
        super().__init__()
        self.tags, self.texts = [], [""]
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.texts.append("")

    def handle_endtag(self, tag):
        self.texts.append("")

    def handle_data(self, data):
        self.texts[-1] += data


@pytest.mark.filterwarnings("ignore:Glyph")  # of a writing that the font lacks
@pytest.mark.parametrize("name", NASTY_NAMES)
def test_names_are_shown_as_they_are(page, name):
    plain = Seen(page().read_text())
    row = {"filter": 3, "stride": 3, "network": name, "runs": 1, "mean": 0.5, "sd": None, "paper": 0.9}
    seen = Seen(page(data=name, command=name, tables={"table_2": [row]}).read_text())
    for tag in ("script", "b", "img", "a"):
        assert seen.tags.count(tag) == plain.tags.count(tag)
    shown = printable(name)
    assert {f"{shown}", f"2 of 3 runs are done; the same command goes on: {shown}"} <= set(seen.texts)
    assert any(f"validation split of {shown} (5 synthetic clips)" in text for text in seen.texts)


def test_it_needs_nothing_beside_it(page):
    text = page().read_text()
    assert not re.search(r"<script[^>]+src|<img|@import|url\((?!#)|<link(?! rel=\"icon\" href=\"data:,\")", text)
    assert "default-src 'none'" in text


def test_broken_result(page):
    path = page()
    (path.parent / "tones" / "table_2.json").write_text("{")
    before = path.read_bytes()
    with pytest.raises(SystemExit, match="error: .*table_2.json is no result of this version"):
        experiments.main(["report", f"--output_dir={path.parent}"])
    assert path.read_bytes() == before


@pytest.mark.slow
def test_in_a_browser(page, browser):
    opened = browser.new_page(viewport={"width": 360, "height": 700})
    requests, problems = [], []
    opened.on("request", lambda request: requests.append(request.url))
    opened.on("console", lambda message: problems.append(message.text))
    opened.goto(page().as_uri())
    assert opened.evaluate("document.documentElement.scrollWidth") <= 360  # a phone's; tables scroll by themselves

    def networks():
        return opened.locator("tbody tr td:nth-child(3)").all_text_contents()

    opened.get_by_role("button", name="mean").click()
    assert networks() == ["<b>9", "<b>3", "<b>27"]  # what is not known comes last
    opened.get_by_role("button", name="mean").click()
    assert networks() == ["<b>3", "<b>9", "<b>27"]
    opened.get_by_role("button", name="filter").click()
    assert networks() == ["<b>3", "<b>9", "<b>27"]  # numbers, not words
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == [] and problems == []
