"""Errors of the commands: one line that says what is wrong and what to do, and a non-zero exit."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from samplecnn_hf.text import one_line


class UserError(ValueError):
    """What is wrong with what the user gave and what to do about it, in one line."""


class DataError(UserError):
    """An error in the user's data."""


class RecipeError(UserError):
    """An error in the recipe, the command line or the folder to write."""


@contextmanager
def errors_in_one_line(interrupted: str) -> Iterator[None]:
    """Exit with one line for a `UserError` or `OSError`, and after Ctrl-C with `interrupted`, how to continue."""
    try:
        yield
    except (UserError, OSError) as error:
        sys.exit(f"error: {one_line(error)}")
    except KeyboardInterrupt:
        sys.exit(f"interrupted: {interrupted}")
