"""
Gradio demo: classify audio and a microphone's stream with SampleCNN, see what is when, and inspect the network.

    python spaces_demo/app.py runs/quickstart ORG/NAME   # model folders or Hub ids

On a Space, the models are those listed under `models` in README.md.
"""

import argparse
import ctypes
import os
import sys
from functools import lru_cache
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read at import
if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
    # One heap for all threads: otherwise each thread's heap grows to the size of a clip's feature maps.
    libc.mallopt(-8, 1)  # M_ARENA_MAX; before the imports below start threads

import gradio as gr
from huggingface_hub import SpaceCard
from transformers.utils.logging import disable_progress_bar

from audio import MAX_FILE_SIZE, MAX_MINUTES, AudioInput
from live import live_tab
from models import EVENTS_TABLE, NO_EVENT, TOP_LABELS, Models, events_table
from plots import Figure, excitations_figure, filters_figure
from samplecnn_hf.text import one_line

FOLDER = Path(__file__).parent
EXAMPLES = FOLDER / "examples"
SPOKEN_WORDS = EXAMPLES / "three_words.flac"
MAX_FILTER_LAYER = 4  # higher layers take minutes
UPLOAD_LIFETIME = 600  # seconds
# A network uses all cores, so one clip is processed at a time; MAX_QUEUE further requests wait.
ONE_AT_A_TIME = {"concurrency_id": "network", "concurrency_limit": 1}
MAX_QUEUE = 64

INTRODUCTION = f"""
# SampleCNN

Audio classification from the raw waveform, with convolutions of **3 samples** instead of a spectrogram
([Kim, Lee and Nam, 2019](https://doi.org/10.1109/JSTSP.2019.2909479)).

WAV, FLAC, OGG or MP3, up to {MAX_MINUTES} minutes. Uploads are deleted within {2 * UPLOAD_LIFETIME // 60} minutes.
"""
INTERPRETATION = (
    "**Excitations**: the channel weights (0 to 1) of each squeeze-and-excitation block, averaged over the clip. "
    "**Filters**: for each filter of a layer, the spectrum of the input that maximizes its activation, found by "
    "gradient ascent from noise; filters are sorted by peak frequency."
)
CSS = """
.gradio-container {max-width: 960px !important; margin: auto}
.tabs {contain: inline-size}  /* otherwise, the row of tabs widens the page on a phone */
"""


def build_demo(models: Models) -> gr.Blocks:
    """The page with its tabs; every button is also an endpoint of the API (`gradio_client`)."""
    with gr.Blocks(title="SampleCNN", delete_cache=(UPLOAD_LIFETIME, UPLOAD_LIFETIME)) as demo:
        gr.Markdown(INTRODUCTION)
        with gr.Tab("Classify"):
            classify_tab(models)
        with gr.Tab("Live"):
            live_tab(demo, models)
        if len(models.names) > 1:
            with gr.Tab("Compare models"):
                compare_tab(models)
        with gr.Tab("Inspect the network"):
            inspect_tab(models)
    return demo


def classify_tab(models: Models):
    with gr.Row():
        with gr.Column():
            audio, model = audio_input(), models.dropdown()
            button = gr.Button("Classify", variant="primary")
        with gr.Column():
            summary = gr.Markdown(elem_id="summary")
            label = gr.Label(num_top_classes=TOP_LABELS, label="Probabilities", show_heading=False)
    with gr.Column(visible=False) as details:
        gr.Markdown("### Events: when the probability of a label reaches its threshold")
        with gr.Column() as some_events:
            events = gr.Dataframe(**EVENTS_TABLE, label="Events", show_label=False, elem_id="events")
        with gr.Column() as no_events:
            gr.Markdown(NO_EVENT)
        timeline = Figure(label="Probabilities over time", show_label=False, elem_id="timeline")
        with gr.Accordion("Probabilities as a table", open=False):
            table = gr.Dataframe(label="One row per window of one segment", interactive=False)
    show_examples(models, audio, model)

    def classify(audio: str, model: str):
        """Classify an audio file: summary, label probabilities, events, and probabilities over time (plot, table)."""
        prediction = models[model].predict(audio)
        return (
            prediction.summary,
            prediction.probabilities,
            events_table(prediction.events),
            prediction.timeline(),
            prediction.table(),
            gr.Column(visible=bool(prediction.events)),
            gr.Column(visible=not prediction.events),
            gr.Column(visible=len(prediction.starts) > 1),
        )

    outputs = [summary, label, events, timeline, table, some_events, no_events, details]
    button.click(classify, [audio, model], outputs, api_name="classify", **ONE_AT_A_TIME)


def compare_tab(models: Models):
    audio, names = audio_input(), ("First model", "Second model")
    with gr.Row():
        dropdowns = [models.dropdown(name, index) for name, index in zip(names, (0, -1), strict=True)]
    button = gr.Button("Compare", variant="primary")
    with gr.Row():
        labels = [gr.Label(num_top_classes=TOP_LABELS, label=name) for name in names]

    def compare(audio: str, first: str, second: str):
        """Classify an audio file with two models and return the label probabilities of each."""
        return [models[name].probabilities(audio) for name in (first, second)]

    button.click(compare, [audio, *dropdowns], labels, api_name="compare", **ONE_AT_A_TIME)


def inspect_tab(models: Models):
    gr.Markdown(INTERPRETATION)
    with gr.Row():
        with gr.Column():
            audio, model = audio_input(), models.dropdown()
            excitations_button = gr.Button("Show excitations", variant="primary")
            excitations_plot = Figure(
                label="Excitation per block and channel", show_label=False, elem_id="excitations"
            )
        with gr.Column():
            layer = gr.Slider(1, MAX_FILTER_LAYER, value=3, step=1, label="Layer (1: first convolution)")
            filters_button = gr.Button("Show filters")
            filters_plot = Figure(
                label="Spectra of the estimated filters of a layer", show_label=False, elem_id="filters"
            )

    def excitations(audio: str, model: str):
        """Plot the excitations of every squeeze-and-excitation block for an audio file."""
        return excitations_figure(models[model].excitations(audio))

    @lru_cache(maxsize=64)
    def estimate(model: str, layer: int):
        return models[model].filters(layer)

    def filters(model: str, layer: int):
        """Plot the estimated filters of a layer; the estimate is computed once per model and layer."""
        return filters_figure(estimate(model, int(layer)))

    excitations_button.click(excitations, [audio, model], excitations_plot, api_name="excitations", **ONE_AT_A_TIME)
    filters_button.click(filters, [model, layer], filters_plot, api_name="filters", **ONE_AT_A_TIME)


def show_examples(models: Models, audio: AudioInput, model: gr.Dropdown):
    """Examples of the models, which also choose the model; those of this folder if the models have none."""
    own = [[path, name] for name in models.names if (path := models[name].example())]
    if own:
        own += [[str(SPOKEN_WORDS), name] for name in models.names if models[name].is_spotter]
        gr.Examples(own, [audio, model], label="Examples")
    else:
        gr.Examples(sorted(map(str, EXAMPLES.iterdir())), audio, label="Examples")


def audio_input() -> AudioInput:
    return AudioInput(sources=["upload", "microphone"], type="filepath", label="Audio", buttons=["download"])


def main(argv: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="model folders or Hub ids (default: `models` of README.md)")
    parser.add_argument("--port", type=int, help="port to listen on (default: first free port from 7860)")
    args = parser.parse_args(argv)
    model_ids = args.models or SpaceCard.load(FOLDER / "README.md").data.models
    if not model_ids:
        parser.error("no models: give folders or Hub ids or, on a Space, list `models` in README.md")
    disable_progress_bar()  # of loading weights
    try:
        build_demo(Models(model_ids)).queue(max_size=MAX_QUEUE).launch(
            server_port=args.port,
            max_file_size=MAX_FILE_SIZE,
            theme=gr.themes.Soft(font=["system-ui", "sans-serif"]),
            css=CSS,
            footer_links=["api"],
        )
    except (OSError, ValueError) as error:
        sys.exit(f"error: {one_line(error)}")


if __name__ == "__main__":
    main()
