"""Errors and Ctrl-C end a command with one line and exit status 1."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from typer.core import TyperGroup

from ..text import one_line

INTERRUPTED = "interrupted: run the same command again"


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Exit with a message of one line after an error that the user can fix, and after Ctrl-C."""
    try:
        yield
    except (typer.Abort, typer.Exit, BrokenPipeError):  # typer ends a command with them
        raise
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        sys.exit(f"error: {one_line(error)}")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


class OneLineErrors(TyperGroup):
    """A group of commands that end in `errors_in_one_line`."""

    def invoke(self, ctx: typer.Context):
        with errors_in_one_line():
            return super().invoke(ctx)
