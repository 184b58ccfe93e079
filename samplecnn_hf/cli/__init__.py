"""
The command `samplecnn`: classify audio, listen to a microphone, look at, export, convert and upload models.

Each command imports what it needs when it runs, so that `samplecnn --help` and completion load neither torch nor
transformers.
"""

import sys
from typing import Annotated

import typer

from .describe import info, variants
from .errors import OneLineErrors
from .hub import convert, export, push
from .inference import classify, embed
from .microphone import listen
from .speed import benchmark

HELP = """
Audio classification on the raw waveform with SampleCNN.

\b
samplecnn classify clip.wav --model runs/quickstart
samplecnn COMMAND --help
"""
COMMANDS = (classify, embed, listen, info, variants, benchmark, export, convert, push)

app = typer.Typer(
    cls=OneLineErrors,
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode=None,  # rich takes as long to import as all the rest of the help
    pretty_exceptions_enable=False,
)
for command in COMMANDS:
    app.command()(command)


def _print_version(wanted: bool):
    if wanted:
        from .. import __version__

        print(f"samplecnn-hf {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
):
    pass


def main(argv: list[str] | None = None):
    """
    Run a command; returns if it succeeds.

    Args:
        argv: Arguments of the command; by default those of the process.

    Raises:
        SystemExit: The command failed: 1 or a message, 2 for wrong arguments.
    """
    try:
        app(sys.argv[1:] if argv is None else argv, prog_name="samplecnn")
    except SystemExit as end:
        if end.code:
            raise
