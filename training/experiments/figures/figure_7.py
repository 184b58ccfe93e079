"""Fig. 7: spectra of the waveforms that maximize the filters of each layer, compared with the mel scale."""

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
    title = "Fig. 7: spectra of the filters of the lower layers, section VI"
    block_type = "basic"
    needs_clips = False
    combined = True

    def __post_init__(self):
        self.range_of_layers()  # report an invalid range before anything is trained

    def range_of_layers(self) -> tuple[int, int] | None:
        """First and last layer that `layers` asks for, counted from 1."""
        if self.layers is None:
            return None
        first, _, last = self.layers.partition("-")
        last = last or first
        if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
            raise RecipeError(f"--layers must be a range of layers, such as 1-3; got {self.layers!r}")
        return int(first), int(last)

    def analyze(self, network):
        num_layers = network.model.config.num_blocks + 1
        default = 1, min(NUM_QUICK_LAYERS if network.quick else NUM_LAYERS, num_layers)
        first, last = self.range_of_layers() or default
        if last > num_layers:
            raise RecipeError(f"{network.name} has {num_layers} layers; --layers asks for layer {last}")
        rows, waveforms = [], {}
        for layer in range(first, last + 1):
            print(f"{network.name}: layer {layer} of {first}-{last}", flush=True)
            estimates = estimate_filters(network.model, layer, rms=input_rms(network.extractor), seed=self.seed)
            rows.append({"model": network.name, **_row(estimates)})
            waveforms[f"{network.name}/{layer}"] = estimates.waveforms
        return rows, waveforms

    def plot(self, rows, arrays):
        waveforms = [arrays[f"{row['model']}/{row['layer']}"] for row in rows]
        layers = [(row["layer"], row["sampling rate"]) for row in rows]
        figure = plot_filters([FilterEstimates(*layer, w) for layer, w in zip(layers, waveforms, strict=True)])
        if len({row["model"] for row in rows}) > 1:
            for axes, row in zip(figure.axes, rows, strict=False):  # the last axes hold the color bar
                axes.set_title(f"{plot_text(row['model'])}\nlayer {row['layer']}", fontsize="medium")
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
