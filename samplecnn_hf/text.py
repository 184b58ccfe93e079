"""Escape and shorten untrusted text, such as labels and error messages."""

import re
import unicodedata

JOINERS = "\u200c\u200d"  # invisible, but part of Persian words and of many emoji


def printable(text: str) -> str:
    r"""
    Escape unprintable characters (newlines, control characters, invalid UTF-8, bidirectional controls) as
    Python does, for example `\n`.
    """
    return "".join(c if c.isprintable() or c in JOINERS else c.encode("unicode_escape").decode() for c in text)


def is_one_line(text: str) -> bool:
    """Return whether text is valid UTF-8 without line breaks and control characters."""
    return not {unicodedata.category(character) for character in text} & {"Cc", "Cs", "Zl", "Zp"}


def one_line(message: object) -> str:
    """Format an error message on one line; line breaks become spaces."""
    return printable(" ".join(str(message).split()))


def shorten(text: str, length: int) -> str:
    """Shorten text to at most `length` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def escape_markdown(text: object) -> str:
    """Escape text for a line or a table cell of Markdown."""
    # Only where necessary, to keep the source readable: snake_case, R&B.
    return re.sub(r"[\\`*\[\]<>|~$#]|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", printable(str(text)))


class Markdown(str):
    """Text that is already Markdown and must not be escaped."""


def markdown_table(rows: list[dict]) -> Markdown:
    """Format rows with the same keys as a Markdown table: floats with four decimals, None as a dash."""
    lines = [
        [escape_markdown(column) for column in rows[0]],
        ["---"] * len(rows[0]),
        *([_cell(value) for value in row.values()] for row in rows),
    ]
    return Markdown("\n".join(f"| {' | '.join(cells)} |" for cells in lines))


def _cell(value: float | int | str | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else escape_markdown(value)
