"""The numbers reported in the paper, from paper.yaml, and its names of the blocks."""

from collections.abc import Mapping, Sized
from pathlib import Path

import yaml

from training.errors import DataError

BLOCK_NAMES = {"basic": "Basic", "se": "SE", "res1": "Res-1", "res2": "Res-2", "rese1": "ReSE-1", "rese2": "ReSE-2"}
PAPER: dict = yaml.safe_load(Path(__file__).with_name("paper.yaml").read_text(encoding="utf-8"))


def paper_score(source_name: str, variant: str, model_kwargs: dict, do_normalize: bool) -> float | None:
    """Mean score over three runs with the recipe `paper` (Fig. 6); None for networks and inputs not in the paper."""
    if model_kwargs or do_normalize:
        return None
    return PAPER["figure_6"].get(source_name, {}).get(variant)


def check_paper_counts(source_name: str, clips: Mapping[str, Sized]) -> None:
    """Check that a dataset of Table I has the paper's number of clips per split; other datasets pass.

    Args:
        source_name: a key of `training.data.SOURCES`.
        clips: the usable clips of each split, as `training.data.prepared.prepare` returns them.

    Raises:
        DataError: the number of clips differs in a split.
    """
    if source_name not in PAPER["datasets"]:
        return
    expected = PAPER["datasets"][source_name]["splits"]
    found = {split: len(clips[split]) if split in clips else 0 for split in expected}
    if found != expected:
        counts = ", ".join(f"{expected[split]:,} {split} clips (found: {found[split]:,})" for split in expected)
        raise DataError(
            f"{source_name} needs {counts} as in Table I of the paper: complete the data, or train on these with "
            "--paper_counts false"
        )
