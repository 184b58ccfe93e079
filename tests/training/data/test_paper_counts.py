import pytest

from training.data.paper_counts import check_paper_counts
from training.data.source import DataError


def clips(sizes):
    return {split: range(size) for split, size in sizes.items()}


@pytest.mark.parametrize("name", ["magnatagatune", "speech_commands", "dcase2017"])
def test_the_papers_counts(paper, name):
    check_paper_counts(name, clips(paper["datasets"][name]["splits"] | {"background_noise": 6}))


# Other clips that circulate: of any duration, with or without a tag, the Hub's copy, version 0.01, a small sample.
@pytest.mark.parametrize(
    "name, sizes",
    [
        ("magnatagatune", {"train": 15247, "validation": 1529, "test": 4332}),
        ("magnatagatune", {"train": 18706, "validation": 1825, "test": 5329}),
        ("speech_commands", {"train": 84848, "validation": 9982, "test": 4890}),
        ("speech_commands", {"train": 51088, "validation": 6798, "test": 6835}),
        ("speech_commands", {"train": 600, "validation": 150, "test": 150}),
        ("dcase2017", {"train": 46042, "validation": 5618, "test": 1102}),
        ("dcase2017", {"train": 46042, "validation": 5618}),
    ],
)
def test_other_counts_are_an_error(paper, name, sizes):
    with pytest.raises(DataError) as error:
        check_paper_counts(name, clips(sizes))
    message = str(error.value)
    assert "\n" not in message and "set paper_counts to false" in message
    for split, expected in paper["datasets"][name]["splits"].items():
        assert f"{sizes.get(split, 0):,} {split} clips, not {expected:,}" in message


@pytest.mark.parametrize("name", ["magnatagatune-26k", "million_song", "folder", "hub"])
def test_data_that_are_not_in_table_1(name):
    with pytest.raises(DataError, match=f"Table I has no {name}, only magnatagatune, speech_commands, dcase2017"):
        check_paper_counts(name, clips({"train": 1, "validation": 1, "test": 1}))
