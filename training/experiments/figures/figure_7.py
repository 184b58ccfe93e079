"""Fig. 7: the spectra of the waveforms that maximise each layer's filters, beside the mel scale."""

from dataclasses import dataclass

import numpy as np

from samplecnn_hf.analysis import FilterEstimates, estimate_filters, input_rms, log_likeness, plot_filters
from samplecnn_hf.analysis.plots import plot_text
from training.errors import RecipeError
from training.experiments.experiment import Analysis
from training.options import option

NUM_LAYERS = 6  # in the paper, from the bottom
NUM_QUICK_LAYERS = 2


@dataclass(frozen=True)
class Figure7(Analysis):
    layers: str | None = option(None, "range of layers, such as 1-3 (default: 1-6 as in the paper; with --quick, 1-2)")
    seed: int = option(0, "seed of the initial noise (default: 0)")

    name = "figure_7"
    title = "Fig. 7: what the filters of the lower layers listen to, section VI"
    block_type = "basic"
    needs_clips = False
    combined = True

    def analyse(self, network):
        num_layers = network.model.config.num_blocks + 1
        first, last = self._range(min(NUM_QUICK_LAYERS if network.quick else NUM_LAYERS, num_layers))
        if last > num_layers:
            raise RecipeError(f"{network.name} has {num_layers} layers; --layers asks for layer {last}")
        rows, waveforms = [], {}
        for layer in range(first, last + 1):
            print(f"{network.name}: layer {layer} of {first}-{last}", flush=True)
            estimates = estimate_filters(network.model, layer, rms=input_rms(network.extractor), seed=self.seed)
            rows.append({"model": network.name, **_row(estimates)})
            waveforms[f"{network.name}/{layer}"] = estimates.waveforms
        return rows, waveforms

    def _range(self, default_last: int) -> tuple[int, int]:
        """First and last layer, counted from 1."""
        if self.layers is None:
            return 1, default_last
        first, _, last = self.layers.partition("-")
        last = last or first
        if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
            raise RecipeError(f"--layers must be a range of layers, such as 1-3; got {self.layers!r}")
        return int(first), int(last)

    def plot(self, rows, arrays):
        figure = plot_filters(
            [
                FilterEstimates(row["layer"], row["sampling rate"], arrays[f"{row['model']}/{row['layer']}"])
                for row in rows
            ]
        )
        for axes, row in zip(figure.axes, rows, strict=False):  # the last axes hold the colour bar
            axes.set_title(f"{plot_text(row['model'])}, layer {row['layer']}", fontsize="medium")
        return figure


def _row(estimates: FilterEstimates) -> dict:
    peaks = estimates.peak_frequencies
    low, median, high = (round(hertz) for hertz in np.percentile(peaks, (25, 50, 75)))
    return {
        "layer": estimates.layer,
        "filters": len(peaks),
        "sampling rate": estimates.sampling_rate,
        "log-likeness": log_likeness(peaks, estimates.sampling_rate),
        "peak: 1st quartile (Hz)": low,
        "peak: median (Hz)": median,
        "peak: 3rd quartile (Hz)": high,
        "paper": "linear" if estimates.layer == 1 else "more log-like with each layer",
    }
