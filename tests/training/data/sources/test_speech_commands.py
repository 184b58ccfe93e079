import itertools
import os
from collections import Counter
from pathlib import Path

import pytest

from training.data import load_source
from training.data.sources.speech_commands import SPLIT_LISTS, assign_split
from training.errors import DataError

SAMPLE_DIR = Path(__file__).parents[5] / "shared" / "data" / "speech_commands_sample"
needs_sample = pytest.mark.skipif(not SAMPLE_DIR.is_dir(), reason=f"no real recordings in {SAMPLE_DIR}")


@pytest.fixture
def archive(tmp_path):
    files = [f"{word}/{speaker}_nohash_0.wav" for word in ("no", "yes") for speaker in "abc"]
    for name in [*files, "_background_noise_/tap.wav"]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "validation_list.txt").write_text("no/b_nohash_0.wav\nyes/b_nohash_0.wav\n")
    (tmp_path / "testing_list.txt").write_text("yes/c_nohash_0.wav\n")
    return tmp_path


def test_splits_follow_the_lists(archive):
    source = load_source("speech_commands", archive)
    assert source.labels == ["no", "yes"]
    assert source.problem_type == "single_label_classification"
    found = {
        split: sorted((clip.path.relative_to(archive).as_posix(), clip.labels) for clip in clips)
        for split, clips in source.splits.items()
    }
    assert found == {
        "train": [("no/a_nohash_0.wav", (0,)), ("no/c_nohash_0.wav", (0,)), ("yes/a_nohash_0.wav", (1,))],
        "validation": [("no/b_nohash_0.wav", (0,)), ("yes/b_nohash_0.wav", (1,))],
        "test": [("yes/c_nohash_0.wav", (1,))],
    }
    assert source.background_noise == (archive / "_background_noise_" / "tap.wav",)


@pytest.mark.slow
def test_split_sizes(tmp_path, paper, split_sizes):
    """Version 0.02 as published: 105,829 files of 35 words, the speakers' splits in the two lists."""
    sizes = paper["datasets"]["speech_commands"]["splits"]
    words = [f"word{i:02}" for i in range(paper["datasets"]["speech_commands"]["num_labels"])]
    for word in [*words, "_background_noise_"]:
        (tmp_path / word).mkdir()
    names = [f"{words[i % len(words)]}/{i:08x}_nohash_0.wav" for i in range(sum(sizes.values()))]
    for name in names:
        os.close(os.open(tmp_path / name, os.O_CREAT))
    held_out = iter(names)
    for split, list_name in SPLIT_LISTS.items():
        (tmp_path / list_name).write_text("\n".join(itertools.islice(held_out, sizes[split])) + "\n")
    source = load_source("speech_commands", tmp_path)
    assert split_sizes(source) == sizes
    assert source.labels == words


@pytest.mark.parametrize("name", ["validation_list.txt", "testing_list.txt"])
def test_missing_list(archive, name):
    (archive / name).unlink()
    with pytest.raises(DataError, match=f"{name} is missing"):
        load_source("speech_commands", archive)


def test_listed_file_that_is_missing(archive):
    (archive / "yes" / "c_nohash_0.wav").unlink()
    with pytest.raises(DataError, match="testing_list.txt: yes/c_nohash_0.wav is listed but missing"):
        load_source("speech_commands", archive)


def test_empty_split(archive):
    (archive / "validation_list.txt").write_text("")
    with pytest.raises(DataError, match="no validation clips"):
        load_source("speech_commands", archive)


def test_empty_folder(tmp_path):
    with pytest.raises(DataError, match="holds no <word>"):
        load_source("speech_commands", tmp_path)


def test_unknown_source(tmp_path):
    with pytest.raises(DataError, match="'speach'.*folder.*speech_commands"):
        load_source("speach", tmp_path)


def test_data_dir_that_does_not_exist(tmp_path):
    with pytest.raises(DataError, match="nowhere is not a folder"):
        load_source("folder", tmp_path / "nowhere")


# From the lists of the archive as published.
@pytest.mark.parametrize(
    "name, split",
    [
        ("bed/0c40e715_nohash_0.wav", "test"),
        ("bed/0ea0e2f4_nohash_1.wav", "test"),
        ("bed/026290a7_nohash_0.wav", "validation"),
        ("bed/060cd039_nohash_1.wav", "validation"),
        ("yes/51055bda_nohash_4.wav", "train"),
    ],
)
def test_hash_rule_is_the_published_one(name, split):
    assert assign_split(name) == split


def test_hash_rule_holds_out_a_tenth_each():
    counts = Counter(assign_split(f"{i}_nohash_0.wav") for i in range(2000))
    assert counts["validation"] == pytest.approx(200, abs=40)
    assert counts["test"] == pytest.approx(200, abs=40)


@needs_sample
def test_real_sample_agrees_with_the_hash_rule():
    source = load_source("speech_commands", SAMPLE_DIR)
    assert len(source.labels) == 30
    assert len(source.background_noise) == 6
    assert sum(map(len, source.splits.values())) == 900
    for split, clips in source.splits.items():
        assert {assign_split(clip.path.name) for clip in clips} == {split}
