"""Fig. 7: the spectra of the waveforms that excite each layer's filters most, beside the mel scale."""

import argparse

import numpy as np

from samplecnn_hf.analysis import FilterEstimates, estimate_filters, input_rms, log_likeness, plot_filters
from samplecnn_hf.analysis.plots import plot_text
from training.errors import RecipeError

TITLE = "Fig. 7: what the filters of the lower layers listen to, section VI"
BLOCK_TYPE = "basic"
TOGETHER = True
LAYERS = 6  # of the paper, from the bottom


def add_arguments(parser: argparse.ArgumentParser):
    parser.add_argument("--layers", type=_layers, help="such as 1-3 (default: 1-6, the paper's; with --quick, 1-2)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise to begin with (default: %(default)s)")


def _layers(text: str) -> range:
    first, _, last = text.partition("-")
    if not (first.isdecimal() and (last or first).isdecimal() and 1 <= int(first) <= int(last or first)):
        raise argparse.ArgumentTypeError(f"{text!r} is no range of layers, such as 1-3")
    return range(int(first), int(last or first) + 1)


def analyse(subject, args) -> tuple[list[dict], dict[str, np.ndarray]]:
    highest = subject.model.config.num_blocks + 1
    layers = args.layers or range(1, min(2 if args.quick else LAYERS, highest) + 1)
    if layers[-1] > highest:
        raise RecipeError(f"{subject.name} has {highest} layers; --layers asks for layer {layers[-1]}")
    rows, waveforms = [], {}
    for layer in layers:
        print(f"{subject.name}: layer {layer} of {layers[0]}-{layers[-1]}", flush=True)
        estimates = estimate_filters(subject.model, layer, rms=input_rms(subject.extractor), seed=args.seed)
        rows.append({"model": subject.name, **_row(estimates)})
        waveforms[f"{subject.name}/{layer}"] = estimates.waveforms
    return rows, waveforms


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


def plots(tables, arrays) -> dict:
    rows = tables["figure_7"]
    layers = [
        FilterEstimates(row["layer"], row["sampling rate"], arrays[f"{row['model']}/{row['layer']}"]) for row in rows
    ]
    figure = plot_filters(layers)
    for axes, row in zip(figure.axes, rows, strict=False):  # the last axes are the colour bar's
        axes.set_title(f"{plot_text(row['model'])}, layer {row['layer']}", fontsize="medium")
    return {"figure_7": figure}
