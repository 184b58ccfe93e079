"""`samplecnn classify` and `embed`."""

import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from ..files import model_digest
from ..text import one_line
from .engines import Answer, choose_engine, classify_with_runtime, classify_with_torch, embed_with_torch
from .inputs import Paths, find_files, is_url
from .jobs import Job
from .tables import print_rows

Model = Annotated[str, Option("--model", "-m", help="Folder or Hub id of a model, or an exported file.")]
Output = Annotated[
    str | None,
    Option(
        "--output",
        "-o",
        help="File to write: .csv, .jsonl or .parquet. Without it, results are printed: as a table on a terminal, "
        "otherwise as lines of JSON.",
    ),
]
Device = Annotated[str | None, Option("--device", help="Device such as cuda or cpu (default: a GPU, if any).")]
Timestamps = Annotated[bool, Option("--timestamps", help="One result per window instead of one per file.")]
HopLength = Annotated[
    float | None,
    Option("--hop_length_s", help="Seconds between the starts of two windows (default: the windows do not overlap)."),
]
Threshold = Annotated[
    str | None,
    Option("--threshold", help="Minimum score of a label: a number, or tuned for the model's thresholds."),
]


class Engine(StrEnum):
    torch = "torch"
    runtime = "runtime"
    ray = "ray"


def classify(
    paths: Paths,
    model: Model,
    output: Output = None,
    timestamps: Timestamps = False,
    events: Annotated[
        bool, Option("--events", help="Start and end of each sound that reaches its threshold.")
    ] = False,
    hop_length_s: HopLength = None,
    top_k: Annotated[int, Option("--top_k", min=1, help="Maximum number of labels.")] = 5,
    threshold: Threshold = None,
    device: Device = None,
    engine: Annotated[
        Engine | None,
        Option(
            "--engine",
            help="torch; runtime for the exported model (onnx/model.onnx) by onnxruntime, which starts faster; ray "
            "for a cluster, which writes a folder of Parquet files (default: runtime for a few files, else torch).",
        ),
    ] = None,
):
    """
    Classify audio files.

    Files that cannot be read are reported, and the others classified; the exit status is then 1. Results of --output
    are written as they are computed: after an interruption, the same command continues (with --engine ray it starts
    again).

    \b
    samplecnn classify clip.wav recordings/ -m runs/quickstart
    samplecnn classify recordings/ -m runs/quickstart --events --hop_length_s 0.25 -o events.csv
    ffmpeg -i film.mkv -f wav - | samplecnn classify - -m runs/quickstart
    """
    if timestamps and events:
        raise typer.BadParameter("give --timestamps or --events, not both")
    if hop_length_s is not None and not (timestamps or events):
        raise typer.BadParameter("--hop_length_s needs --timestamps or --events")
    needs_torch = timestamps or events or device is not None
    if Path(model).is_file():
        if engine not in (None, Engine.runtime):
            raise typer.BadParameter(f"{model} is an exported file: --engine {engine} needs the folder of a model")
        engine = Engine.runtime
    if engine is Engine.runtime and needs_torch:
        raise typer.BadParameter("an exported model does not support --timestamps, --events or --device")
    if engine is Engine.ray and output is None:
        raise typer.BadParameter("--engine ray needs --output, a folder to create")
    options = {"top_k": top_k, "threshold": parse_threshold(threshold)}
    if timestamps or events:
        options |= {"return_timestamps": timestamps, "events": events, "hop_length_s": hop_length_s}
    files = find_files(paths)
    if engine is Engine.runtime and any(map(is_url, files)):
        raise typer.BadParameter("an exported model cannot read URLs: download the files")
    engine = engine or Engine(choose_engine(model, files, needs_torch))
    start = partial(classify_with_torch, model, device, **options)
    if engine is Engine.runtime:
        start = partial(classify_with_runtime, model, **options)
    columns = ["file", *(["start", "end"] if timestamps or events else []), "label", "score", "error"]
    if engine is Engine.ray:
        from .cluster import run_on_ray

        _finish(run_on_ray(files, start, output, columns, (device or "").startswith("cuda")), len(files))
    else:
        _run(files, start, output, columns, {"model": model, "engine": engine, **options})


def parse_threshold(threshold: str | None) -> float | str | None:
    if threshold is None or threshold == "tuned":
        return threshold
    try:
        minimum = float(threshold)
    except ValueError:
        minimum = -1
    if not 0 <= minimum <= 1:
        raise typer.BadParameter(f"--threshold is a number from 0 to 1, or tuned; got {threshold}")
    return minimum


def embed(
    paths: Paths,
    model: Annotated[str, Option("--model", "-m", help="Folder or Hub id of a model.")],
    output: Annotated[
        str | None, Option("--output", "-o", help="File to write: .csv, .jsonl or .parquet (default: print JSON).")
    ] = None,
    timestamps: Timestamps = False,
    hop_length_s: HopLength = None,
    device: Device = None,
):
    """
    Compute embeddings of audio files.

    Writes the network's features before the classifier: per file the mean over its segments, or with --timestamps
    those of each window. Files that cannot be read are reported; after an interruption, the same command continues.

    \b
    samplecnn embed recordings/ -m runs/quickstart -o embeddings.parquet
    """
    if hop_length_s is not None and not timestamps:
        raise typer.BadParameter("--hop_length_s needs --timestamps")
    times = ["start", "end"] if timestamps else []
    options = {"model": model, "timestamps": timestamps, "hop_length_s": hop_length_s}
    _run(
        find_files(paths),
        partial(embed_with_torch, model, device, timestamps, hop_length_s),
        output,
        ["file", *times, "embedding", "error"],
        options,
    )


def _run(files: list[str], start: Callable[[], Answer], output: str | None, columns: list[str], options: dict):
    """Print or write the rows of all files; `start` loads the model."""

    def answer(files: list[str]) -> Iterator[list[dict]]:
        return _watch(start()(files), len(files))

    if output is None:
        num_errors = print_rows(answer(files))
    else:
        options |= {"weights": model_digest(options["model"])}
        num_errors = Job(Path(output), files, columns, options).run(answer)
    _finish(num_errors, len(files))


def _finish(num_errors: int, num_files: int):
    if num_errors:
        print(f"{num_errors} of {num_files} files could not be read", file=sys.stderr)
        raise typer.Exit(1)


def _watch(answers: Iterator[list[dict]], num_files: int) -> Iterator[list[dict]]:
    """Report errors, and on a terminal the progress, on the standard error."""
    report = print
    if num_files > 1:
        from tqdm import tqdm  # a requirement of transformers

        answers, report = tqdm(answers, total=num_files, unit=" files", disable=None), tqdm.write
    for rows in answers:
        if rows and "error" in rows[0]:
            file, error = rows[0]["file"], rows[0]["error"]
            report(one_line(f"error: {error if file in error else f'{file}: {error}'}"), file=sys.stderr)
        yield rows
