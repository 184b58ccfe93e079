from pathlib import Path

import pytest

from training import train
from training.data.source import SYNTHETIC_MARK
from training.data.sources.speech_commands import SPLIT_LISTS
from training.errors import DataError
from training.paper import PAPER, check_paper_counts

RECIPES = Path(__file__).parents[2] / "training" / "recipes" / "speech_commands"


def clips(sizes):
    return {split: range(size) for split, size in sizes.items()}


@pytest.mark.parametrize("name", ["magnatagatune", "speech_commands", "dcase2017"])
def test_the_papers_counts(name):
    check_paper_counts(name, clips(PAPER["datasets"][name]["splits"] | {"background_noise": 6}))


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
def test_other_counts_are_an_error(name, sizes):
    with pytest.raises(DataError) as error:
        check_paper_counts(name, clips(sizes))
    message = str(error.value)
    assert "\n" not in message and "--paper_counts false" in message
    for split, expected in PAPER["datasets"][name]["splits"].items():
        assert f"{expected:,} {split} clips (found: {sizes.get(split, 0):,})" in message


@pytest.mark.parametrize("name", ["magnatagatune-26k", "million_song", "folder", "folder-fold1", "hub"])
def test_data_that_are_not_in_table_1(name):
    check_paper_counts(name, clips({"train": 1, "validation": 1, "test": 1}))


@pytest.fixture
def spoken(tones, tmp_path):
    """The tones in the layout of Speech Commands."""
    listed = {
        split: [f"{path.parent.name}/{path.name}" for path in sorted(tones.glob(f"*/{split}*.wav"))]
        for split in ("validation", "test")
    }
    for split, name in SPLIT_LISTS.items():
        (tones / name).write_text("\n".join(listed[split]))
    return [
        f"--data_dir={tones}",
        f"--output_dir={tmp_path / 'run'}",
        f"--cache_dir={tmp_path / 'cache'}",
        "--variant=test-se",
        "--num_epochs=1",
    ]


@pytest.mark.parametrize("name", ["paper", "code"])
def test_the_papers_recipes_demand_them(spoken, tmp_path, name):
    with pytest.raises(
        SystemExit, match="error: speech_commands needs 84,843 train clips .found: 36., 9,981 validation"
    ):
        train.main([f"--recipe={RECIPES / name}.yaml", *spoken])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("recipe", ["paper", "modern", "synthetic"])
def test_other_data_remain_usable(spoken, tones, recipe):
    options = {"paper": ["--paper_counts=false"], "modern": [], "synthetic": []}[recipe]
    if recipe == "synthetic":
        (tones / SYNTHETIC_MARK).touch()
        recipe = "paper"
    count = 36 if recipe == "modern" else 78  # at 16 kHz a clip has fewer segments
    with pytest.raises(SystemExit, match=f"{count} training segments do not fill a batch"):  # the check before passes
        train.main([f"--recipe={RECIPES / recipe}.yaml", *spoken, *options, "--batch_size=100"])


def test_every_recipe_of_the_paper_demands_them():
    demanding = {
        path.relative_to(RECIPES.parent)
        for path in RECIPES.parent.rglob("*.yaml")
        if "paper_counts: true" in path.read_text()
    }
    assert {str(path) for path in demanding} == {
        f"{task}/{name}.yaml" for task in ("dcase2017", "mtt", "speech_commands") for name in ("paper", "code")
    }
