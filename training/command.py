"""How every command here ends when something is wrong: in one line, with a non-zero exit."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from samplecnn_hf.text import one_line


class UserError(ValueError):
    """What is wrong with what the user gave, and what to do about it, in one line."""


@contextmanager
def errors_in_one_line(interrupted: str) -> Iterator[None]:
    """Exit with what is wrong and what to do about it; after Ctrl-C, with `interrupted`, what would go on."""
    try:
        yield
    except (UserError, OSError) as error:
        sys.exit(f"error: {one_line(error)}")
    except KeyboardInterrupt:
        sys.exit(f"interrupted: {interrupted}")
