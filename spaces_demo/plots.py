"""Figures of the demo, each with an alt text that says what it shows."""

from collections.abc import Sequence

import gradio as gr
import numpy as np
from gradio.components.plot import PlotData

from samplecnn_hf.analysis import ClipExcitations, FilterEstimates, plot_clip_excitations, plot_filters, plot_timeline
from samplecnn_hf.text import printable

WIDTH = 5  # inches; the text stays legible on a phone
DPI = 200
NAMED_EVENTS = 5


class DescribedPlotData(PlotData):
    chart: str  # gradio's alt text: this, and " plot visualising provided data"


class Figure(gr.Plot):
    """A matplotlib figure; the alt text starts with `figure.get_label()`."""

    is_template = True  # rendered as its parent class

    def postprocess(self, value):
        if value is None:
            return None
        value.set_dpi(DPI)
        return DescribedPlotData(**super().postprocess(value).model_dump(), chart=f"{value.get_label()} A")


def timeline_figure(probabilities: np.ndarray, labels: Sequence[str], edges: np.ndarray, events: Sequence[dict]):
    """
    Plot the probabilities of the windows of a clip.

    Args:
        probabilities: [windows, labels].
        labels: Names of the labels.
        edges: Limits in seconds of the time that each window stands for [windows + 1].
        events: The events of the clip, for the alt text.
    """
    figure = plot_timeline(probabilities, labels, edges[:-1], edges[-1], width=WIDTH)
    named = [
        "{} from {:.1f} to {:.1f} s".format(printable(event["label"]), *event["timestamp"])
        for event in events[:NAMED_EVENTS]
    ]
    if len(events) > NAMED_EVENTS:
        named.append(f"and {len(events) - NAMED_EVENTS} more")
    figure.set_label(f"Probabilities over time: {', '.join(named) or 'no label reaches its threshold'}.")
    return figure


def excitations_figure(clip: ClipExcitations):
    """Plot the excitations of a clip, one row per block."""
    figure = plot_clip_excitations(clip, width=WIDTH)
    means = [block.mean() for block in clip.excitations]
    figure.set_label(
        f"Excitations of {len(means)} blocks: on average {means[0]:.2f} in the first block and {means[-1]:.2f} in the "
        f"last one, between {min(block.min() for block in clip.excitations):.2f} and "
        f"{max(block.max() for block in clip.excitations):.2f}."
    )
    return figure


def filters_figure(layer: FilterEstimates):
    """Plot the spectra of the estimated filters of a layer."""
    figure = plot_filters([layer], width=WIDTH)
    low, middle, high = np.quantile(layer.peak_frequencies, (0, 0.5, 1))
    figure.set_label(
        f"Spectra of the {len(layer.waveforms)} filters of layer {layer.layer}: their peaks are between {low:.0f} and "
        f"{high:.0f} Hz, half of them below {middle:.0f} Hz."
    )
    return figure
