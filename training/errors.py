"""Errors of the commands: the message is one line that says what is wrong and what to do."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from samplecnn_hf.text import one_line


class UserError(ValueError):
    """An error that the user can fix. The message is one line."""


class DataError(UserError):
    """An error in the user's data."""


class RecipeError(UserError):
    """An error in the recipe, the command line or the output folder."""


@contextmanager
def errors_in_one_line(interrupted: str) -> Iterator[None]:
    """Exit with a message of one line after a `UserError` or `OSError`, and with `interrupted` after Ctrl-C."""
    try:
        yield
    except (UserError, OSError) as error:
        sys.exit(f"error: {one_line(error)}")
    except KeyboardInterrupt:
        sys.exit(f"interrupted: {interrupted}")
