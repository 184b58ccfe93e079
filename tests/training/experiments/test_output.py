"""The page beside the tables, as Markdown shows it."""

import pytest
from markdown_it import MarkdownIt

from samplecnn_hf.text import printable
from tests.conftest import NASTY_NAMES
from training.experiments.output import page


@pytest.mark.parametrize("name", NASTY_NAMES)
def test_names_are_shown_as_they_are(name):
    rows = [{"model": name, "block": 1, "deviation": 0.5, "paper": "rises"}]
    result = {"what": f"network {name}", "quick": False, "command": f"figure_8 {name}", "tables": {"figure_8": rows}}
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(page(result, "Fig. 8", ["figure_8"]))
    assert "html_block" not in {token.type for token in tokens}
    inline = [token for token in tokens if token.type == "inline"]
    texts = ["".join(child.content for child in token.children) for token in inline]
    kinds = [child.type for token in inline for child in token.children]
    assert set(kinds) <= {"text", "text_special", "softbreak", "image"} and kinds.count("image") == 1
    shown = printable(name)
    assert shown.strip() in texts and any(text.startswith(f"network {shown}. ") for text in texts)
    assert [token.content for token in tokens if token.type == "fence"] == [f"figure_8 {shown}\n"]
