import io
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from samplecnn_hf.analysis import (
    ClassExcitations,
    ClipExcitations,
    FilterEstimates,
    plot_class_excitations,
    plot_clip_excitations,
    plot_deviations,
    plot_filters,
    plot_loudness,
    plot_timeline,
    relate_to_loudness,
)
from samplecnn_hf.text import printable, shorten
from tests.conftest import NASTY_NAMES

RNG = np.random.default_rng(0)
CLIP = ClipExcitations(*(RNG.random(7), *(tuple(RNG.random((7, n)) for n in (8, 8, 16)) for _ in range(2))))
CLASSES = ClassExcitations(
    ("_silence_", "dog", "siren", "cat"),
    np.array([2, 3, 0, 1]),
    np.array([0.1, 0.3, np.nan, 0.2]),
    (RNG.random((4, 8)),),
)
LAYERS = [FilterEstimates(i + 1, 22050, RNG.standard_normal((8 * (i + 1), 729))) for i in range(4)]
PROBABILITIES = np.array([[0.1, 0.9, 0.2], [0.2, 0.8, 0.6]])

FIGURES = {
    "filters": lambda width: plot_filters(LAYERS, width=width),
    "deviations": lambda width: plot_deviations({"music": RNG.random(9), "speech": RNG.random(8)}, width=width),
    "classes": lambda width: plot_class_excitations(CLASSES, width=width),
    "loudness": lambda width: plot_loudness(relate_to_loudness([CLIP]), width=width),
    "clip": lambda width: plot_clip_excitations(CLIP, width=width),
    "timeline": lambda width: plot_timeline(PROBABILITIES, ["rain", "dog", "cat"], [0, 1], 1.5, width=width),
}


def texts(figure):
    """Everything that is written on a figure."""
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text)]


@pytest.mark.parametrize("width", [3.5, 9])
@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_drawn_at_any_width(name, width, recwarn):
    figure = FIGURES[name](width)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=50)
    assert file.getvalue().startswith(b"\x89PNG")
    assert figure.get_size_inches()[0] == width
    assert not [warning for warning in recwarn if "layout" in str(warning.message)]  # it would not fit


@pytest.mark.parametrize(
    "name, expected",
    [
        ("filters", ["layer 1", "layer 4", "frequency (kHz)", "filter, by peak frequency", "mel scale"]),
        ("deviations", ["music", "speech", "block", "standard deviation\nover the classes"]),
        ("classes", ["_silence_", "cat", "dog", "excitation, block 1", "RMS (of the loudest)"]),
        ("loudness", ["RMS of the segment (1 = full scale)", "mean over the channels"]),
        ("clip", ["block", "channel", "excitation"]),
        ("timeline", ["time (s)", "probability", "dog", "cat", "rain"]),
    ],
)
def test_axes_say_what_they_show(name, expected):
    assert set(expected) <= set(texts(FIGURES[name](7)))


def test_correlations_are_in_the_titles():
    relation = relate_to_loudness([CLIP])
    r = relation.magnitude_correlations[1], relation.excitation_correlations[1]
    assert f"block 2\nr = {r[0]:+.2f}, {r[1]:+.2f}" in texts(plot_loudness(relation))


def test_filters_are_sorted_by_their_peaks(make_tone):
    tones = np.stack([make_tone(frequency) for frequency in (5000, 300, 2000)])
    (axes, _) = plot_filters([FilterEstimates(1, 22050, tones)]).axes
    peaks = next(line for line in axes.lines if line.get_label() == "peak").get_ydata()
    np.testing.assert_allclose(peaks, [0.3, 2, 5], atol=0.01)
    bins = np.asarray(axes.images[0].get_array()).argmax(0)  # [bins, filters]
    assert (np.diff(bins) > 0).all()


def test_timeline_shows_the_labels_that_are_highest_at_any_time():
    (axes, _) = plot_timeline(PROBABILITIES, ["rain", "dog", "cat"], [0, 1], 1.5, top=2).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["dog", "cat"]
    assert axes.get_xlim() == (0, 1.5)
    np.testing.assert_array_equal(np.asarray(axes.collections[0].get_array()), [[0.9, 0.8], [0.2, 0.6]])


def test_bars_are_relative_to_the_loudest():
    curves, bars = plot_class_excitations(CLASSES).axes
    np.testing.assert_allclose([bar.get_height() for bar in bars.patches], [1 / 3, 2 / 3, 1])
    assert [line.get_label() for line in curves.lines] == ["_silence_", "cat", "dog"]


def drawn(figure) -> list[str]:
    """The texts that a reader sees, as strings of an SVG file; formulas would be there in pieces."""
    from matplotlib import rc_context

    file = io.BytesIO()
    with rc_context({"svg.fonttype": "none"}):
        figure.savefig(file, format="svg")
    texts = ElementTree.fromstring(file.getvalue()).iter("{http://www.w3.org/2000/svg}text")
    return ["".join(text.itertext()).strip() for text in texts]


@pytest.mark.filterwarnings("ignore:Glyph")  # of a writing that the font lacks
@pytest.mark.parametrize("name", NASTY_NAMES)
def test_names_are_shown_as_they_are(name):
    shown = shorten(printable(name), 40).strip()
    classes = ClassExcitations(("a", name, "b", "c"), CLASSES.num_clips, CLASSES.rms, CLASSES.excitations)
    assert shown in drawn(plot_class_excitations(classes, [0, 1]))
    assert shown in drawn(plot_timeline(PROBABILITIES, ["a", name, "c"], [0, 1], 1.5))
    assert shown in drawn(plot_deviations({name: RNG.random(9), "other": RNG.random(8)}))


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'samplecnn-hf\[analysis\]'"):
        plot_clip_excitations(CLIP)


@pytest.mark.slow
def test_matplotlib_is_imported_when_something_is_drawn_and_pyplot_never():
    code = (
        "import sys, numpy as np, samplecnn_hf.analysis as a; assert 'matplotlib' not in sys.modules;"
        "a.plot_deviations({'x': np.ones(3)}); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
