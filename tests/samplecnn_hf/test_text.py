import pytest

from samplecnn_hf.text import one_line, printable, shorten


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
