"""
Result files of an experiment, in `OUTPUT_DIR/<data>/`.

NAME.json holds the result without long arrays, such as the points of a scatter plot, which are in NAME.safetensors.
NAME.md shows its tables and figures. Each table is also written as .csv, each figure as .png and .svg.
"""

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from safetensors.numpy import save

from samplecnn_hf.analysis.plots import plot_text
from samplecnn_hf.files import write_file
from samplecnn_hf.text import escape_markdown, markdown_table, printable

# Fields of the result that are repeated as columns in each row of a .csv file.
ORIGIN = ("data", "what", "split", "folds", "metric", "synthetic", "quick", "date", "command")
PAPER_NOTE = "The paper's values and statements refer to its own datasets."
TITLE_HEIGHT = 0.35  # inches: two lines


def write_result(folder: Path, result: dict, arrays: dict[str, np.ndarray] | None = None):
    """Write NAME.json, and NAME.safetensors if there are arrays."""
    folder.mkdir(parents=True, exist_ok=True)
    if arrays:
        arrays = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}
        write_file(folder / f"{result['experiment']}.safetensors", save(arrays))
    write_file(folder / f"{result['experiment']}.json", json.dumps(result, indent=2, allow_nan=False) + "\n")


def write_views(folder: Path, result: dict, title: str, figures: dict[str, Figure]):
    """Write NAME.md, the tables and the figures of a result, and print its tables."""
    write_file(folder / f"{result['experiment']}.md", page(result, title, figures))
    origin = {column: result[column] for column in ORIGIN if column in result}
    for name, rows in result["tables"].items():
        text = io.StringIO()
        writer = csv.DictWriter(text, [*rows[0], *origin], lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, **origin} for row in rows)
        write_file(folder / f"{name}.csv", text.getvalue())
    for name, figure in figures.items():
        add_title(figure, description(result))
        write_file(folder / f"{name}.png", image(figure, "png", dpi=120))
        write_file(folder / f"{name}.svg", image(figure, "svg", metadata={"Date": None}))
    print(f"\n{markdown(result, title)}\n\nwrote {folder}/{result['experiment']}.md, .json, .csv, .png and .svg")


def add_title(figure: Figure, text: str):
    """Add a description above a figure, and move a legend that is outside the axes below it."""
    figure.suptitle(plot_text(text, 300), fontsize=9, wrap=True)
    top = 1 - TITLE_HEIGHT / figure.get_figheight()
    for legend in figure.legends:
        legend.set_bbox_to_anchor((0, 0, 1, top))
        legend.borderaxespad = 0
        figure.get_layout_engine().set(rect=(0, 0, 1, top))


def image(figure: Figure, kind: str, **options) -> bytes:
    """The figure as a file of this kind; the same figure gives the same bytes."""
    content = io.BytesIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": ""}):
        figure.savefig(content, format=kind, **options)
    return content.getvalue()


def page(result: dict, title: str, figures: Iterable[str]) -> str:
    """Content of NAME.md: the tables, the command that made them, and the figures with these names."""
    command = f"```bash\n{printable(result['command'])}\n```"
    return "\n\n".join([markdown(result, title), command, *(f"![{name}]({name}.png)" for name in figures)]) + "\n"


def markdown(result: dict, title: str) -> str:
    """The tables of a result, with what was measured and, for a grid, how many of its runs are finished."""
    summary = [f"{description(result)}."]
    if any("paper" in column for rows in result["tables"].values() for column in rows[0]):
        summary.append(PAPER_NOTE)
    if "runs" in result:
        finished, planned = result["runs"]["finished"], result["runs"]["planned"]
        summary.append(
            f"All {planned} runs are done."
            if finished == planned
            else f"{finished} of {planned} runs are done; the same command continues: {result['command']}"
        )
    tables = [f"{name}:\n\n{markdown_table(rows)}" for name, rows in result["tables"].items()]
    return "\n\n".join([f"## {title}", escape_markdown(" ".join(summary)), *tables])


def description(result: dict) -> str:
    """What was measured, on which clips."""
    text = result["what"] if "what" in result else _scored_clips(result)
    return f"QUICK CHECK, scores mean nothing: {text}" if result["quick"] else text


def _scored_clips(result: dict) -> str:
    split, kind = result["split"], "synthetic clips" if result["synthetic"] else "clips"
    if result["folds"]:
        return (
            f"{result['metric']} on {result['folds']} folds of {result['data']} (about {result['clips'][split]:,} "
            f"{kind} each), each held out of one training and scored after its last epoch"
        )
    text = f"{result['metric']} on the {split} split of {result['data']} ({result['clips'][split]:,} {kind})"
    chosen = split == "validation" and result["keep"] == "best"
    return text + (", on which the best epoch was chosen" if chosen else "")
