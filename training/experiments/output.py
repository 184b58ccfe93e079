"""
What an experiment leaves behind, in `OUTPUT_DIR/<data>/`: NAME.json, which holds everything, and what is made of it.

NAME.md shows it all. A table is a .csv file, a figure a .png and an .svg one, under their own names. What an analysis
draws and is too long for tables, such as a dot for each segment, is in NAME.safetensors.
"""

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from safetensors.numpy import load, save

from samplecnn_hf.analysis.plots import plot_text
from samplecnn_hf.files import write_file
from samplecnn_hf.text import escape_markdown, printable
from training.loop.model_card import markdown_table

# What each row of a .csv file repeats, as far as the result has it.
ORIGIN = ("data", "what", "split", "folds", "metric", "synthetic", "quick", "date", "command")
PAPER_NOTE = "What the paper says holds for the real data set."
TITLE_HEIGHT = 0.35  # inches: two lines


def write_result(result: dict, folder: Path, arrays: dict[str, np.ndarray] | None = None):
    """NAME.json, and NAME.safetensors if there are arrays; the rest can be made of them at any time."""
    folder.mkdir(parents=True, exist_ok=True)
    if arrays:
        arrays = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}
        write_file(folder / f"{result['experiment']}.safetensors", save(arrays))
    write_file(folder / f"{result['experiment']}.json", json.dumps(result, indent=2, allow_nan=False) + "\n")


def write_views(result: dict, experiment: ModuleType, folder: Path):
    """The page, tables and figures of a result."""
    figures = titled_plots(result, experiment, folder)
    write_file(folder / f"{result['experiment']}.md", page(result, experiment, figures))
    for name, rows in result["tables"].items():
        text = io.StringIO()
        origin = {column: result[column] for column in ORIGIN if column in result}
        writer = csv.DictWriter(text, [*rows[0], *origin], lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, **origin} for row in rows)
        write_file(folder / f"{name}.csv", text.getvalue())
    for name, figure in figures.items():
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=120)
        write_file(folder / f"{name}.png", png.getvalue())
        write_file(folder / f"{name}.svg", svg_text(figure, name))


def titled_plots(result: dict, experiment: ModuleType, folder: Path) -> dict[str, Figure]:
    """The figures of a result in `folder`, each of which says what was measured on what."""
    if is_analysis(experiment):
        path = folder / f"{result['experiment']}.safetensors"
        figures = experiment.plots(result["tables"], load(path.read_bytes()) if path.is_file() else {})
    else:
        figures = experiment.plots(result["tables"])
    for figure in figures.values():
        figure.suptitle(plot_text(data_line(result), 300), fontsize=9, wrap=True)
        _part_from_title(figure)
    return figures


def _part_from_title(figure: Figure):
    """Lower what is outside the axes: the layout would put a legend of the figure over the title."""
    top = 1 - TITLE_HEIGHT / figure.get_figheight()
    for legend in figure.legends:
        legend.set_bbox_to_anchor((0, 0, 1, top))
        legend.borderaxespad = 0
        figure.get_layout_engine().set(rect=(0, 0, 1, top))


def is_analysis(experiment: ModuleType) -> bool:
    """Of trained networks, or else a grid of training runs; see the package's docstring."""
    return hasattr(experiment, "analyse")


def svg_text(figure: Figure, name: str) -> str:
    """The same figure gives the same text; no two names give the same ids."""
    text = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def markdown(result: dict, experiment: ModuleType) -> str:
    """The tables, with what they were measured on."""
    data, progress = escape_markdown(data_line(result)), escape_markdown(progress_line(result))
    parts = [f"## {experiment.TITLE}", f"{data}. {PAPER_NOTE} {progress}".rstrip()]
    parts += [f"{name}:\n\n{markdown_table(rows)}" for name, rows in result["tables"].items()]
    return "\n\n".join(parts)


def page(result: dict, experiment: ModuleType, figures: Iterable[str]) -> str:
    """NAME.md: the tables with the command that made them, and the figures of these names beside it."""
    pictures = [f"![{name}]({name}.png)" for name in figures]
    return (
        "\n\n".join([markdown(result, experiment), f"```bash\n{printable(result['command'])}\n```", *pictures]) + "\n"
    )


def data_line(result: dict) -> str:
    """What was measured on which clips, without flattery."""
    line = result["what"] if "what" in result else _scored_clips(result)
    return f"QUICK CHECK, scores mean nothing: {line}" if result["quick"] else line


def _scored_clips(result: dict) -> str:
    split, kind = result["split"], "synthetic clips" if result["synthetic"] else "clips"
    if result["folds"]:
        return (
            f"{result['metric']} on {result['folds']} folds of {result['data']} (about {result['clips'][split]:,} "
            f"{kind} each), each held out of one training and scored after its last epoch"
        )
    line = f"{result['metric']} on the {split} split of {result['data']} ({result['clips'][split]:,} {kind})"
    chosen = split == "validation" and result["keep"] == "best"
    return line + (", on which the best epoch was chosen" if chosen else "")


def progress_line(result: dict) -> str:
    """How much of the grid is there, and what goes on with it; nothing for an analysis, which is whole."""
    if "runs" not in result:
        return ""
    done, planned = result["runs"]["finished"], result["runs"]["planned"]
    if done == planned:
        return f"All {planned} runs are done."
    return f"{done} of {planned} runs are done; the same command goes on: {result['command']}"
