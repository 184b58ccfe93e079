"""The numbers of clips that the paper trained and tested on (Table I)."""

from collections.abc import Mapping, Sized
from pathlib import Path

import yaml

from training.data.source import DataError

PAPER = Path(__file__).parents[1] / "paper.yaml"


def check_paper_counts(source_name: str, clips: Mapping[str, Sized]) -> None:
    """Check that the splits have as many clips as in the paper.

    Args:
        source_name: a data set of Table I: magnatagatune, speech_commands or dcase2017.
        clips: the clips of each split that can be used, as `prepare` returns them.

    Raises:
        DataError: any of the numbers differs, or the paper has none of this data set.
    """
    datasets = yaml.safe_load(PAPER.read_text(encoding="utf-8"))["datasets"]
    if source_name not in datasets:
        raise DataError(f"Table I has no {source_name}, only {', '.join(datasets)}: set paper_counts to false")
    expected = datasets[source_name]["splits"]
    found = {split: len(clips[split]) if split in clips else 0 for split in expected}
    if found != expected:
        differing = [f"{found[split]:,} {split} clips, not {expected[split]:,}" for split in expected]
        raise DataError(
            f"{source_name} has {'; '.join(differing)} as in Table I of the paper: complete the data, or set "
            "paper_counts to false to train on these"
        )
