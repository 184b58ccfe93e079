import pytest
from markdown_it import MarkdownIt

from samplecnn_hf.text import escape_markdown, markdown_table, one_line, printable, shorten
from tests.conftest import NASTY_NAMES


@pytest.mark.parametrize(
    "text, shown",
    [
        ("dog", "dog"),
        ("two words", "two words"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[31mred\x00\x7f", r"\x1b[31mred\x00\x7f"),
        ("\u202egod\u2028\ufeff", r"\u202egod\u2028\ufeff"),
        (b"caf\xe9".decode("utf-8", "surrogateescape"), r"caf\udce9"),
        ("café 猫 می\u200cخواهم 👩\u200d🚒", "café 猫 می\u200cخواهم 👩\u200d🚒"),
        ("", ""),
    ],
)
def test_printable(text, shown):
    assert printable(text) == shown


def test_one_line():
    assert one_line(ValueError("first\n    second\x1b[0m\n")) == r"first second\x1b[0m"


def test_shorten():
    assert shorten("abcdef", 6) == "abcdef" and shorten("abcdefg", 6) == "abcde…"


def shown(markdown: str) -> list[str]:
    """The texts of a document's paragraphs, headings and cells; anything but text in them fails the test."""
    texts = []
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown):
        assert token.type != "html_block"
        if token.type == "inline":
            assert {child.type for child in token.children} <= {"text", "text_special"}, token.content
            texts.append("".join(child.content for child in token.children))
    return texts


@pytest.mark.parametrize("name", NASTY_NAMES)
def test_markdown_shows_a_name_as_it_is(name):
    escaped = escape_markdown(name)
    assert shown(f"# {escaped}") == [printable(name).strip()]
    assert shown(f"Of {escaped}, too") == [f"Of {printable(name)}, too"]
    assert shown(f"| a | b |\n| --- | --- |\n| {escaped} | x |")[2:] == [printable(name).strip(), "x"]


def test_markdown_stays_readable():
    assert escape_markdown("f1_samples@0.1 (x86_64), R&B café") == "f1_samples@0.1 (x86_64), R&B café"


def test_table():
    rows = [{"label": "a|b", "clips": 3, "f1": 1 / 3}, {"label": "c", "clips": 0, "f1": None}]
    assert markdown_table(rows).splitlines() == [
        "| label | clips | f1 |",
        "| --- | --- | --- |",
        "| a\\|b | 3 | 0.3333 |",
        "| c | 0 | – |",
    ]
