import pytest

from training.data import load_source
from training.data.folds import load_folds, repeat_by_fold, repeat_by_seed
from training.errors import DataError, RecipeError


def write(folder, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_each_fold_is_held_out_once(tmp_path):
    write(tmp_path, [f"{name}/{fold}-{name}.ogg" for name in ("dog", "rain") for fold in (1, 2, 5)])
    sources = load_folds("folder", tmp_path)
    assert list(sources) == ["1", "2", "5"]
    files = {split: [clip.path.name for clip in clips] for split, clips in sources["2"].splits.items()}
    assert files == {
        "train": ["1-dog.ogg", "5-dog.ogg", "1-rain.ogg", "5-rain.ogg"],
        "validation": ["2-dog.ogg", "2-rain.ogg"],
    }
    assert load_source("folder-fold2", tmp_path) == sources["2"]  # by the name in results.json
    with pytest.raises(DataError, match="has no fold '3': choose one of 1, 2, 5"):
        load_source("folder-fold3", tmp_path)


@pytest.mark.parametrize(
    "names, message",
    [
        (["dog/1-a.wav", "dog/b.wav"], "b.wav does not start with a fold number"),
        (["dog/1-a.wav", "rain/1-b.wav"], "has fewer than two folds"),
        (["dog/1-a.wav", "rain/2-b.wav"], "'dog' of .* is in validation but not in train"),
        ([], "has fewer than two folds"),
    ],
)
def test_folds_that_cannot_be_held_out(tmp_path, names, message):
    write(tmp_path, names)
    with pytest.raises(DataError, match=message):
        load_folds("folder", tmp_path)


def test_data_without_folds(tmp_path):
    with pytest.raises(DataError, match="dcase2017 has no folds"):
        load_folds("dcase2017", tmp_path)
    with pytest.raises(DataError, match="nowhere is not a folder"):
        load_folds("folder", tmp_path / "nowhere")


def test_repetitions(tmp_path):
    write(tmp_path, [f"{name}/{fold}-{name}.ogg" for name in ("dog", "rain") for fold in (1, 2)])
    folds = load_folds("folder", tmp_path)
    by_fold, by_seed = repeat_by_fold(folds, "cosine"), repeat_by_seed(folds["1"], 2)
    assert [(run.name, run.source.name, run.options) for run in by_fold] == [
        ("fold1", "folder-fold1", {"keep": "last"}),
        ("fold2", "folder-fold2", {"keep": "last"}),
    ]
    assert [(run.name, run.source, run.options) for run in by_seed] == [
        ("seed0", folds["1"], {"seed": 0}),
        ("seed1", folds["1"], {"seed": 1}),
    ]


def test_a_schedule_that_follows_the_scores_of_the_fold(tmp_path):
    write(tmp_path, [f"{name}/{fold}-{name}.ogg" for name in ("dog", "rain") for fold in (1, 2)])
    with pytest.raises(RecipeError, match="cross-validation needs --schedule cosine"):
        repeat_by_fold(load_folds("folder", tmp_path), "plateau")
