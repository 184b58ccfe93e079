"""The numbers of clips that the paper trained and tested on (Table I)."""

from collections.abc import Mapping, Sized
from pathlib import Path

import yaml

from training.data.source import DataError

PAPER = Path(__file__).parents[1] / "paper.yaml"


def check_paper_counts(source_name: str, clips: Mapping[str, Sized]) -> None:
    """Check that a data set of Table I has as many clips in each split as there; any other one passes.

    Args:
        source_name: a key of `training.data.SOURCES`.
        clips: the clips of each split that can be used, as `prepare` returns them.

    Raises:
        DataError: any of the numbers differs.
    """
    datasets = yaml.safe_load(PAPER.read_text(encoding="utf-8"))["datasets"]
    if source_name not in datasets:
        return
    expected = datasets[source_name]["splits"]
    found = {split: len(clips[split]) if split in clips else 0 for split in expected}
    if found != expected:
        counts = ", ".join(f"{expected[split]:,} {split} clips (found: {found[split]:,})" for split in expected)
        raise DataError(
            f"{source_name} needs {counts} as in Table I of the paper: complete the data, or train on these with "
            "--paper_counts false"
        )
