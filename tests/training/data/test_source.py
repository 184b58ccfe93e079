from dataclasses import replace
from pathlib import Path

import pytest

from training.data.source import SYNTHETIC_MARK, Clip, Source
from training.errors import DataError


@pytest.fixture
def source(tmp_path):
    clips = [Clip(tmp_path / "a.wav", (0,))]
    splits = {"train": clips, "validation": clips}
    return Source("folder", tmp_path, ["a", "b"], "single_label_classification", splits, "accuracy")


def test_multi_label(source):
    assert not source.multi_label
    assert replace(source, problem_type="multi_label_classification").multi_label


def test_scores_are_of_the_test_split_where_there_is_one(source):
    assert source.scored_split == "validation"
    assert replace(source, splits={**source.splits, "test": source.splits["train"]}).scored_split == "test"


def test_synthetic_data_are_marked(source, tmp_path):
    assert not source.synthetic and not replace(source, data_dir="user/name-on-the-hub").synthetic
    (tmp_path / SYNTHETIC_MARK).touch()
    assert source.synthetic


def test_split_without_clips(source):
    with pytest.raises(DataError, match="no validation clips of folder"):
        replace(source, splits={**source.splits, "validation": []})


@pytest.mark.parametrize("labels", [["a", "a"], ["a b", "a  b"], ["caf\u00e9", "cafe\u0301"], ["a", "\u2003a"]])
def test_labels_that_look_the_same(source, labels):
    with pytest.raises(DataError, match="the labels .* differ only in spaces or in the encoding of accents"):
        replace(source, labels=labels)


def test_stamp_changes_with_the_file(tmp_path):
    clip = Clip(Path(tmp_path / "a.wav"), (0,))
    assert clip.stamp() == "missing"
    clip.path.write_bytes(b"one")
    before = clip.stamp()
    clip.path.write_bytes(b"three")
    assert clip.stamp() not in (before, "missing")
