"""Shards that are damaged, a disk that is full, and files of others in the folder."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from training.data import prepared
from training.data.prepared import prepare, prepared_folder
from training.data.source import Clip, Source
from training.errors import DataError

RATE = 22050


def write_tone(path: Path, seconds: float = 0.1):
    soundfile.write(path, 0.5 * np.sin(np.arange(round(seconds * RATE)) / 10), RATE)
    return path


def make_source(paths) -> Source:
    return Source(
        "folder",
        "data",
        ["a", "b"],
        "multi_label_classification",
        {"train": [Clip(p, (0,)) for p in paths]},
        "roc_auc",
    )


def prepare_one(tmp_path) -> tuple[Source, Path]:
    """A source, and its only shard."""
    paths = [write_tone(tmp_path / f"{i}.wav", 0.01 * (i + 1)) for i in range(3)]
    source = make_source(paths)
    prepare(source, RATE, tmp_path / "out")
    (shard,) = (tmp_path / "out").rglob("train-*.arrow")
    return source, shard


def test_cut_off_shard_is_made_again(tmp_path):
    source, shard = prepare_one(tmp_path)
    content = shard.read_bytes()
    for size in range(0, len(content) - 8, 97):  # the last 8 bytes say that nothing follows
        shard.write_bytes(content[:size])
        clips = prepare(source, RATE, tmp_path / "out")["train"]
        assert shard.read_bytes() == content and len(clips) == 3, size


def test_damaged_shards_never_change_an_answer(tmp_path):
    """A shard with random bytes in it is made again, or differs in the samples alone."""
    source, shard = prepare_one(tmp_path)
    content = shard.read_bytes()
    expected = prepare(source, RATE, tmp_path / "out")["train"]
    lengths, source_rates = expected.num_samples.tolist(), expected.source_rates
    remade = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        damaged = np.frombuffer(content, np.uint8).copy()
        start = int(rng.integers(len(damaged)))
        damaged[start : start + int(rng.integers(1, 64))] = rng.integers(256)
        shard.unlink()  # what is mapped stays
        shard.write_bytes(damaged.tobytes())
        clips = prepare(source, RATE, tmp_path / "out")["train"]
        remade += shard.read_bytes() == content
        assert clips.num_samples.tolist() == [len(clip) for clip in clips] == lengths, seed
        assert clips.labels == expected.labels and clips.files == expected.files, seed
    assert remade > 25 and source_rates == [RATE]


@pytest.mark.parametrize("kind", ["FIFO", "folder", "link"])
def test_something_else_in_place_of_a_shard(tmp_path, kind):
    source, shard = prepare_one(tmp_path)
    content = shard.read_bytes()
    shard.unlink()
    if kind == "FIFO":
        os.mkfifo(shard)
    elif kind == "link":
        shard.symlink_to("/dev/zero")
    else:
        shard.mkdir()
        with pytest.raises(DataError, match="cannot write .*arrow: .*directory"):
            prepare(source, RATE, tmp_path / "out")
        return
    prepare(source, RATE, tmp_path / "out")
    assert shard.read_bytes() == content and not shard.is_symlink()


def test_full_disk(tmp_path, monkeypatch):
    """One line, nothing half-written, and what was complete is kept."""
    source, shard = prepare_one(tmp_path)
    content = shard.read_bytes()
    source.splits["test"] = [Clip(write_tone(tmp_path / "new.wav", 1), (1,))]
    with monkeypatch.context() as patch:
        patch.setattr(prepared.pa, "OSFile", lambda path, mode: open("/dev/full", mode, buffering=0))
        with pytest.raises(DataError, match="cannot write .*test-00000-.*No space left on device") as error:
            prepare(source, RATE, tmp_path / "out")
    assert "\n" not in str(error.value)
    assert shard.read_bytes() == content
    assert not list((tmp_path / "out").rglob("*.unfinished"))
    assert len(prepare(source, RATE, tmp_path / "out")["test"]) == 1


FOREIGN = [
    *("mine.arrow", "train-00000-of-00001.arrow", "cache-0123456789abcdef.arrow", "data-00000-of-00001.arrow.new"),
    *(
        "train.arrow",
        "notes.arrow.txt",
        "train-00000-0123456789abcdef.arrow.bak",
        "train-00000-0123456789ABCDEF.arrow",
    ),
]


def test_files_of_others_are_left_alone(tmp_path):
    source = make_source([write_tone(tmp_path / "a.wav")])
    out = prepared_folder(source, RATE, tmp_path / "out")
    for place in (out, out / "train"):
        place.mkdir(parents=True)
        for name in FOREIGN:
            (place / name).write_text("mine")
    stale = out / "train-00000-0123456789abcdef.arrow"
    stale.touch()
    for _ in range(2):
        prepare(source, RATE, tmp_path / "out")
    assert not stale.exists()
    for place in (out, out / "train"):
        assert all((place / name).read_text() == "mine" for name in FOREIGN)


def test_what_a_killed_process_left_is_removed(tmp_path):
    source, shard = prepare_one(tmp_path)
    left = shard.parent / ".abcd1234.unfinished"
    left.mkdir()
    (left / shard.name).touch()
    prepare(source, RATE, tmp_path / "out")
    assert not left.exists() and shard.exists()
