"""
Plots of the analyses: Figs. 7 to 10 of the paper, and the excitations and labels of a clip.

Every function returns a `matplotlib.figure.Figure`, to be saved with `figure.savefig("filters.png")`. They do not
use pyplot's global state, so they are thread-safe. Widths are in inches. All raise `ImportError` if matplotlib is not
installed.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ..text import printable, shorten
from .excitations import ClassExcitations, ClipExcitations
from .filters import FilterEstimates, mel_curve
from .loudness import LoudnessRelation, dbfs

DYNAMIC_RANGE = 30  # dB, of the spectra
PANEL_WIDTH = 1.7  # inches; narrower panels are unreadable
# The color-blind safe palette of Okabe and Ito.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
COLORS = (BLUE, ORANGE, GREEN, PURPLE, RED, SKY)
MARKERS = "osD^vP"


def plot_filters(layers: Sequence[FilterEstimates], width: float = 10):
    """Plot Fig. 7: spectra of the filters of each layer, sorted by peak frequency (blue), and the mel scale (red)."""
    figure, panels = _panels(len(layers), width)
    for axes, layer in zip(panels, layers, strict=True):
        num_filters, nyquist = len(layer.waveforms), layer.sampling_rate / 2000
        image = axes.imshow(
            layer.spectra[layer.order].T,
            origin="lower",
            aspect="auto",
            extent=(0, num_filters, 0, nyquist),
            interpolation="antialiased",
            cmap="Greys",
            vmin=-DYNAMIC_RANGE,
            vmax=0,
        )
        filters = np.arange(num_filters) + 0.5
        peaks = layer.peak_frequencies[layer.order] / 1000
        axes.plot(filters, peaks, color=BLUE, linestyle="", marker=".", markersize=2, label="peak")
        axes.plot(filters, mel_curve(num_filters, layer.sampling_rate) / 1000, color=RED, label="mel scale")
        axes.set(title=f"layer {layer.layer}", xlim=(0, num_filters), ylim=(0, nyquist))
    figure.supxlabel("filter, by peak frequency", fontsize="medium")
    figure.supylabel("frequency (kHz)", fontsize="medium")
    figure.colorbar(image, ax=list(panels), label="magnitude (dB of the peak)", pad=0.01, aspect=40)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2, markerscale=4, frameon=False)
    return figure


def plot_deviations(deviations: Mapping[str, np.ndarray], width: float = 5):
    """Plot Fig. 8: deviation of the excitations over the classes per block, {name of a network: [blocks]}."""
    figure = _figure(width, 0.65 * width)
    axes = figure.subplots()
    for i, (name, values) in enumerate(deviations.items()):
        style = {"color": COLORS[i % len(COLORS)], "marker": MARKERS[i % len(MARKERS)]}
        axes.plot(np.arange(1, len(values) + 1), values, label=plot_text(name), **style)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set(xlabel="block", ylabel="standard deviation\nover the classes", ylim=(0, 1.1 * axes.dataLim.ymax))
    axes.grid(alpha=0.3)
    axes.legend(handles=axes.lines)
    return figure


def plot_class_excitations(
    statistics: ClassExcitations, classes: Sequence[int] | None = None, block: int = 0, width: float = 7
):
    """
    Plot Fig. 9: excitations of some classes in one block, and their loudness.

    Args:
        statistics: Excitations per class.
        classes: Indices of the classes; by default those of `quiet_medium_loud()`.
        block: Index of the block, from 0.
        width: Width of the figure in inches.
    """
    classes = statistics.quiet_medium_loud() if classes is None else classes
    figure = _figure(width, 0.45 * width)
    curves, bars = figure.subplots(1, 2, width_ratios=(3, 1))
    loudness = statistics.rms[list(classes)] / statistics.rms[list(classes)].max()
    for i, (index, curve) in enumerate(zip(classes, statistics.curves(classes, block), strict=True)):
        color = COLORS[i % len(COLORS)]
        curves.plot(curve, label=plot_text(statistics.names[index]), color=color, linewidth=1.2)
        bars.bar(i, loudness[i], color=color)
    curves.set(xlabel="channel, by mean excitation", ylabel=f"excitation, block {block + 1}", xlim=(0, len(curve) - 1))
    curves.grid(alpha=0.3)
    figure.legend(handles=curves.lines, loc="outside upper center", ncols=min(len(classes), 3), frameon=False)
    bars.set(ylabel="RMS (of the loudest)", ylim=(0, 1.05), xticks=[])
    return figure


def plot_loudness(relation: LoudnessRelation, width: float = 8):
    """Plot Fig. 10: channel magnitude and excitation of each segment over its RMS, and Pearson's r, per block."""
    figure, panels = _panels(len(relation.magnitudes), width)
    dots = {"s": 6, "linewidths": 0, "alpha": max(0.1, min(0.8, 300 / len(relation.rms))), "rasterized": True}
    for i, axes in enumerate(panels):
        axes.scatter(relation.rms, _to_unit(relation.magnitudes[i]), color="black", marker="o", **dots)
        axes.scatter(relation.rms, _to_unit(relation.excitations[i]), color=ORANGE, marker="D", **dots)
        r = relation.magnitude_correlations[i], relation.excitation_correlations[i]
        axes.set_title(f"block {i + 1}\nr = {r[0]:+.2f}, {r[1]:+.2f}", fontsize="medium")
        axes.set(ylim=(-0.05, 1.05), yticks=(0, 1), yticklabels=("min", "max"))
    figure.supxlabel("RMS of the segment (1 = full scale)", fontsize="medium")
    figure.supylabel("mean over the channels", fontsize="medium")
    handles = [
        axes.scatter([], [], color="black", marker="o", label="channel magnitude (first r)"),
        axes.scatter([], [], color=ORANGE, marker="D", label="excitation (second r)"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2 if width >= 5 else 1, frameon=False)
    return figure


def plot_clip_excitations(clip: ClipExcitations, width: float = 7):
    """Plot the excitations of a clip, averaged over its segments: one row per block."""
    num_blocks = len(clip.excitations)
    figure = _figure(width, 1.2 + 0.25 * num_blocks)
    axes = figure.subplots()
    for i, excitations in enumerate(clip.excitations):
        row = excitations.mean(0, keepdims=True)
        extent = (0, row.shape[1], i + 0.55, i + 1.45)
        image = axes.imshow(row, extent=extent, aspect="auto", cmap="viridis", vmin=0, vmax=1)
    axes.set(
        xlabel="channel",
        ylabel="block",
        xlim=(0, max(excitations.shape[1] for excitations in clip.excitations)),
        ylim=(0.5, num_blocks + 0.5),
        yticks=range(1, num_blocks + 1),
        title=f"loudness {_mean_dbfs(clip.rms):.1f} dBFS",
    )
    figure.colorbar(image, ax=axes, label="excitation", pad=0.01)
    return figure


def plot_timeline(
    probabilities: np.ndarray, labels: Sequence[str], starts: Sequence[float], seconds: float, top: int = 8, width=7
):
    """
    Plot the probabilities of labels over time.

    Args:
        probabilities: Probabilities per segment [segments, labels].
        labels: Names of all labels.
        starts: Start of each segment in seconds, increasing [segments]; each is drawn up to the next one.
        seconds: Length of the clip.
        top: Number of labels to show, by their highest probability.
        width: Width of the figure in inches.
    """
    probabilities = np.asarray(probabilities)
    shown = probabilities.max(0).argsort(kind="stable")[::-1][:top]
    figure = _figure(width, 1.2 + 0.28 * len(shown))
    axes = figure.subplots()
    edges = [*starts, seconds], np.arange(len(shown) + 1) - 0.5
    image = axes.pcolormesh(*edges, probabilities[:, shown].T, cmap="viridis", vmin=0, vmax=1)
    axes.set(xlabel="time (s)", yticks=range(len(shown)), yticklabels=[plot_text(labels[i]) for i in shown])
    axes.invert_yaxis()
    figure.colorbar(image, ax=axes, label="probability", pad=0.01)
    return figure


def plot_text(text: str, length: int = 40) -> str:
    """
    Escape text for matplotlib, which would render `$` as a formula, and shorten it to one line of `length` characters.

    Pass handles to legends of such names: by default, matplotlib omits names that start with an underscore.
    """
    return shorten(printable(text), length).replace("$", r"\$")


def _figure(width: float, height: float):
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("figures need matplotlib: pip install 'samplecnn-hf[analysis]'") from error
    return Figure(figsize=(width, height), layout="constrained")


def _panels(count: int, width: float):
    """A figure with `count` equal panels, as many per row as are readable."""
    columns = max(1, min(count, 3, int(width / PANEL_WIDTH)))
    rows = math.ceil(count / columns)
    figure = _figure(width, 0.5 + rows * max(2.4, 0.5 * width / columns))
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).flat
    for axes in panels[count:]:
        axes.remove()
    return figure, panels[:count]


def _to_unit(values: np.ndarray) -> np.ndarray:
    """Scale to [0, 1]: magnitudes and excitations share an axis, as in the paper."""
    span = values.max() - values.min()
    return (values - values.min()) / span if span > 0 else np.zeros_like(values)


def _mean_dbfs(levels: np.ndarray) -> float:
    """Level of a clip from the RMS of its segments, which are equally long."""
    return float(dbfs(np.sqrt(np.square(levels).mean())))
