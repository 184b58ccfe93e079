import pytest

from training.errors import DataError, RecipeError, errors_in_one_line


@pytest.mark.parametrize("kind", [DataError, RecipeError, OSError])
def test_errors_of_the_user_are_one_line(kind):
    with pytest.raises(SystemExit, match="^error: no such file: give another$"), errors_in_one_line("again"):
        raise kind("no such file:\n  give another")


def test_interruption_says_how_to_continue():
    with pytest.raises(SystemExit, match="^interrupted: the same command continues$"):
        with errors_in_one_line("the same command continues"):
            raise KeyboardInterrupt


def test_errors_of_the_program_keep_their_traceback():
    with pytest.raises(ZeroDivisionError), errors_in_one_line("again"):
        raise ZeroDivisionError
