"""Names in the figures of score tables are shown as they are."""

import pytest

from samplecnn_hf.text import printable, shorten
from tests.conftest import NASTY_NAMES
from tests.samplecnn_hf.analysis.test_plots import drawn
from training.experiments.plots import plot_differences, plot_scores, plot_trade_off


def row(name, **columns):
    return {"name": name, "label": name, "mean": 0.5, "sd": 0.1, "paper": 0.6, "paper: time": 2.0, **columns}


@pytest.mark.filterwarnings("ignore:Glyph")  # of a writing that the font lacks
@pytest.mark.parametrize("name", NASTY_NAMES)
def test_names_are_shown_as_they_are(name):
    shown = shorten(printable(name), 40).strip()
    assert shown in drawn(plot_scores([row(name), row("other")], x="name"))
    assert shown in drawn(plot_trade_off([row(name, **{"time / basic": 1.0})], x="time / basic", label="name"))
    assert shown in drawn(plot_differences([row(name, difference=0.1)], "label", "difference"))
