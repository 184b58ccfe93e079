"""
What an experiment leaves behind, in `OUTPUT_DIR/<data>/`: NAME.json, which holds everything, and what is made of it.

A table is a .csv file, a figure a .png and an .svg one, both under their own names.
"""

import csv
import io
import json
from pathlib import Path
from types import ModuleType

from matplotlib import rc_context
from matplotlib.figure import Figure

from training.hub_folder import markdown_table

ORIGIN = ("data", "split", "metric", "synthetic", "quick", "date", "command")  # what each row of a .csv file repeats
PAPER_NOTE = "The paper's numbers are those of the real data set."


def write_result(result: dict, folder: Path):
    """NAME.json; the rest can be made of it at any time."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / f"{result['experiment']}.json", json.dumps(result, indent=2, allow_nan=False) + "\n")


def write_views(result: dict, experiment: ModuleType, folder: Path):
    """The tables and figures of a result."""
    for name, rows in result["tables"].items():
        text = io.StringIO()
        writer = csv.DictWriter(text, [*rows[0], *ORIGIN], lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, **{column: result[column] for column in ORIGIN}} for row in rows)
        _write(folder / f"{name}.csv", text.getvalue())
    for name, figure in titled_plots(result, experiment).items():
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=120)
        _write(folder / f"{name}.png", png.getvalue())
        _write(folder / f"{name}.svg", svg_text(figure, name))


def titled_plots(result: dict, experiment: ModuleType) -> dict[str, Figure]:
    """The figures of a result, each of which says what was scored on what."""
    figures = experiment.plots(result["tables"])
    for figure in figures.values():
        figure.suptitle(data_line(result), fontsize=9, wrap=True, parse_math=False)
    return figures


def svg_text(figure: Figure, name: str) -> str:
    """The same figure gives the same text; no two names give the same ids."""
    text = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def markdown(result: dict, experiment: ModuleType) -> str:
    """The tables, with what they were measured on."""
    parts = [f"## {experiment.TITLE}", f"{data_line(result)}. {PAPER_NOTE} {progress_line(result)}"]
    parts += [f"{name}:\n\n{markdown_table(rows)}" for name, rows in result["tables"].items()]
    return "\n\n".join(parts)


def data_line(result: dict) -> str:
    """Which clips were scored by what, without flattery."""
    split, kind = result["split"], "synthetic clips" if result["synthetic"] else "clips"
    line = f"{result['metric']} on the {split} split of {result['data']} ({result['clips'][split]:,} {kind})"
    if split == "validation":
        line += ", on which the best epoch was chosen"
    return f"QUICK CHECK, scores mean nothing: {line}" if result["quick"] else line


def progress_line(result: dict) -> str:
    """How much of the grid is there, and what goes on with it."""
    done, planned = result["runs"]["finished"], result["runs"]["planned"]
    if done == planned:
        return f"All {planned} runs are done."
    return f"{done} of {planned} runs are done; the same command goes on: {result['command']}"


def _write(path: Path, content: str | bytes):
    """All of it or nothing."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    temporary.replace(path)
