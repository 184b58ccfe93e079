"""One page of all results so far: tables that can be sorted, figures, and the command that made or continues each."""

import json
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup
from safetensors import SafetensorError

from samplecnn_hf.files import write_file
from samplecnn_hf.text import printable
from training.experiments import EXPERIMENTS
from training.experiments.output import data_line, progress_line, svg_text, titled_plots

PAGE = "report.html"


def write_report(folder: Path) -> Path:
    """
    Write `folder`/report.html, which needs nothing beside it, of the results below `folder`.

    Raises:
        OSError: a result that is none, or a folder that cannot be written.
    """
    sections = [
        {
            "name": name,
            "title": experiment.TITLE,
            "results": [_view(path, experiment) for path in sorted(folder.glob(f"*/{name}.json"))],
        }
        for name, experiment in EXPERIMENTS.items()
    ]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    page = environment.get_template(PAGE).render(sections=sections)
    folder.mkdir(parents=True, exist_ok=True)
    return write_file(folder / PAGE, page)


def _view(path: Path, experiment) -> dict:
    """What the page shows of a result."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        figures = titled_plots(result, experiment, path.parent)
        return {
            **result,
            "what": data_line(result),
            "progress": progress_line(result),
            "svgs": [_inline(svg_text(figure, f"{path} {name}")) for name, figure in figures.items()],
        }
    except (AttributeError, LookupError, RecursionError, SafetensorError, TypeError, ValueError) as error:
        raise OSError(
            f"{path} is no result of this version ({error!r}): run its command again, or delete it"
        ) from error


def _inline(svg: str) -> Markup:
    """Without the head of a file of its own."""
    return Markup(svg[svg.index("<svg") :])
