"""
SampleCNN in a browser: what a network hears in a clip, when, and how it looks inside.

    python spaces_demo/app.py runs/quickstart ORG/NAME   # folders or Hub ids; on a Space, `models` of its README.md
"""

import argparse
import ctypes
import os
import sys
from functools import lru_cache
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # no request leaves the machine; read at import
if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
    # glibc gives threads heaps of their own, and each would grow as large as a clip's feature maps: one is enough.
    libc.mallopt(-8, 1)  # M_ARENA_MAX; before the imports below start threads

import gradio as gr
from huggingface_hub import SpaceCard
from transformers.utils.logging import disable_progress_bar

from models import Heard, Models
from samplecnn_hf.analysis import plot_clip_excitations, plot_filters
from sounds import MAX_FILE_SIZE, MAX_MINUTES, Sound

FOLDER = Path(__file__).parent
EXAMPLES = sorted(str(path) for path in (FOLDER / "examples").iterdir())
TOP_LABELS = 5
PLOT_WIDTH = 5  # inches: legible on a phone
FILTER_LAYERS = 4  # deeper ones take minutes
KEEP_UPLOADS = 600  # seconds
# One clip at a time: the network uses all cores. Who comes later waits; beyond that, visitors are asked to come back.
ONE_AT_A_TIME = {"concurrency_id": "network", "concurrency_limit": 1}
LONGEST_QUEUE = 64

INTRODUCTION = f"""
# SampleCNN

Convolutional networks whose filters are **3 samples long**, on the raw waveform: no spectrogram.
([Kim, Lee and Nam, 2019](https://doi.org/10.1109/JSTSP.2019.2909479))

Clips of up to {MAX_MINUTES} minutes; wav, flac, ogg or mp3.
What you send is deleted within {2 * KEEP_UPLOADS // 60} minutes.
"""
CSS = ".gradio-container {max-width: 960px !important; margin: auto}"


def build_demo(models: Models) -> gr.Blocks:
    """The page with its three tabs; every button is also a function of the API (`gradio_client`)."""
    with gr.Blocks(title="SampleCNN", delete_cache=(KEEP_UPLOADS, KEEP_UPLOADS)) as demo:
        gr.Markdown(INTRODUCTION)
        with gr.Tab("Listen"):
            listen_tab(models)
        with gr.Tab("Compare"):
            compare_tab(models)
        with gr.Tab("Inside"):
            inside_tab(models)
    return demo


def listen_tab(models: Models):
    with gr.Row():
        with gr.Column():
            audio, model = sound_input(), picker(models)
            button = gr.Button("Classify", variant="primary")
            gr.Examples(EXAMPLES, audio, label="Examples")
        with gr.Column():
            answer = gr.Markdown(elem_id="answer")
            label = gr.Label(num_top_classes=TOP_LABELS, label="Probabilities", show_heading=False)
    gr.Markdown("### When: each segment by itself")
    timeline = gr.Plot(show_label=False, elem_id="timeline")
    with gr.Accordion("The timeline as numbers", open=False):
        table = gr.Dataframe(label="Probabilities by segment")

    def classify(audio: str, model: str):
        """Probabilities of the labels of an audio file, and their timeline over its segments, as picture and table."""
        heard = models[model].listen(audio)
        return heard.answer, probabilities(heard), sharp(heard.plot(PLOT_WIDTH)), heard.table()

    button.click(classify, [audio, model], [answer, label, timeline, table], api_name="classify", **ONE_AT_A_TIME)


def probabilities(heard: Heard) -> dict[str, float]:
    """For `gr.Label`."""
    return dict(zip(heard.labels, heard.scores.tolist(), strict=True))


def compare_tab(models: Models):
    audio = sound_input()
    with gr.Row():
        pickers = [picker(models, index) for index in (0, -1)]
    button = gr.Button("Compare", variant="primary")
    with gr.Row():
        labels = [gr.Label(num_top_classes=TOP_LABELS, label=title) for title in ("First", "Second")]

    def compare(audio: str, first: str, second: str):
        """Probabilities of the labels of an audio file by two models."""
        return [probabilities(models[name].listen(audio)) for name in (first, second)]

    button.click(compare, [audio, *pickers], labels, api_name="compare", **ONE_AT_A_TIME)


def inside_tab(models: Models):
    gr.Markdown(
        "**Excitations**: by how much each squeeze-and-excitation block lets each of its channels through, for this "
        "clip. **Filters**: the spectrum of the sound that excites each filter of a layer most, found by gradient "
        "ascent from noise; the filters are sorted by where that spectrum peaks."
    )
    with gr.Row():
        with gr.Column():
            audio, model = sound_input(), picker(models)
            excitations_button = gr.Button("Show excitations", variant="primary")
        with gr.Column():
            layer = gr.Slider(1, FILTER_LAYERS, value=3, step=1, label="Layer (1 is the first convolution)")
            filters_button = gr.Button("Show filters")
    excitations_plot = gr.Plot(show_label=False, elem_id="excitations")
    filters_plot = gr.Plot(show_label=False, elem_id="filters")

    def excitations(audio: str, model: str):
        """Excitations of every squeeze-and-excitation block for an audio file, as a picture."""
        return sharp(plot_clip_excitations(models[model].excitations(audio), width=PLOT_WIDTH))

    @lru_cache(maxsize=64)
    def estimate(model: str, layer: int):
        return models[model].filters(layer)

    def filters(model: str, layer: int):
        """What the filters of a layer listen to, as a picture; the first visitor waits for it."""
        return sharp(plot_filters([estimate(model, int(layer))], width=PLOT_WIDTH))

    excitations_button.click(excitations, [audio, model], excitations_plot, api_name="excitations", **ONE_AT_A_TIME)
    filters_button.click(filters, [model, layer], filters_plot, api_name="filters", **ONE_AT_A_TIME)


def sharp(figure):
    """With enough pixels for a wide screen."""
    figure.set_dpi(200)
    return figure


def sound_input() -> Sound:
    return Sound(sources=["upload", "microphone"], type="filepath", label="Sound", buttons=["download"])


def picker(models: Models, index: int = 0) -> gr.Dropdown:
    return gr.Dropdown(models.names, value=models.names[index], label="Model")


def main(argv: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="folders or Hub ids (default: the `models` of README.md)")
    parser.add_argument("--port", type=int, help="port to listen on (default: the first free one from 7860)")
    args = parser.parse_args(argv)
    model_ids = args.models or SpaceCard.load(FOLDER / "README.md").data.models
    if not model_ids:
        parser.error("name a model, a folder or a Hub id: here, or on a Space as `models` in README.md")
    disable_progress_bar()  # of loading weights
    try:
        build_demo(Models(model_ids)).queue(max_size=LONGEST_QUEUE).launch(
            server_port=args.port,
            max_file_size=MAX_FILE_SIZE,
            theme=gr.themes.Soft(font=["system-ui", "sans-serif"]),
            css=CSS,
            footer_links=["api"],
        )
    except (OSError, ValueError) as error:
        sys.exit(f"error: {' '.join(str(error).split())}")


if __name__ == "__main__":
    main()
