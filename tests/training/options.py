"""Command-line options of the tests."""


def without(options: list[str], *names: str) -> list[str]:
    """The options except those of the given names."""
    return [option for option in options if not option.startswith(tuple(f"--{name}=" for name in names))]
