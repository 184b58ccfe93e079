"""What comes from outside, in every layout: names of labels and files, and things in place of files."""

import csv
import os
from pathlib import Path

import pytest
from datasets import Audio, Dataset, Features, List, Value

from training.data import SOURCES, load_source
from training.data.sources.dcase2017 import AUDIO_FOLDERS
from training.data.sources.dcase2017 import LABELS as SCENES
from training.data.sources.million_song import TAGS
from training.errors import DataError


def write_table(path: Path, rows, delimiter: str):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)


def touch(path: Path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def write_csv(folder, label, file):
    for split in ("train", "validation"):
        rows = [("file", "class"), (f"{split}-{file}", label), (f"{split}-other.wav", "other")]
        write_table(folder / f"{split}.csv", rows, ",")


def write_splits(folder, label, file):
    for split in ("train", "validation"):
        touch(folder / split / label / file)
        touch(folder / split / "other" / "other.wav")


def write_classes(folder, label, file):
    for i in range(30):
        touch(folder / label / f"{i}-{file}")
        touch(folder / "other" / f"{i}-other.wav")


def write_words(folder, label, file):
    for speaker in "abc":
        touch(folder / label / f"{speaker}{file}")
        touch(folder / "other" / f"{speaker}.wav")
    (folder / "validation_list.txt").write_text("other/b.wav\n")
    (folder / "testing_list.txt").write_text("other/c.wav\n")


def write_tags(folder, label, file):
    clips = [(f"{i}", "1", "1", f"{split}/{i}{file}") for i, split in enumerate("0cd")]
    write_table(folder / "annotations_final.csv", [("clip_id", label, "other", "mp3_path"), *clips], "\t")


def write_scenes(folder, label, file):
    for name in AUDIO_FOLDERS:
        rows = [(f"{name}{i}{file}", "0", "10", label or "") for i in range(10)]
        write_table(folder / f"groundtruth_weak_label_{name}_set.csv", rows, "\t")


def write_songs(folder, label, file):
    for i, split in enumerate(("train", "validation", "test")):
        rows = [("track_id", "tags"), (f"TRAAAAK128F931878{i}", label)]
        write_table(folder / f"{split}.csv", rows, ",")


def write_parquet(folder, label, file):
    audio = [{"bytes": b"", "path": file}] * 2
    for feature, name, labels in (
        (Value("string"), "label", [label, "other"]),
        (List(Value("string")), "tags", [[label], ["other"]]),
    ):
        features = Features({"audio": {"bytes": Value("binary"), "path": Value("string")}, name: feature})
        dataset = Dataset.from_dict({"audio": audio, name: labels}, features)
        for split in ("train", "validation"):
            path = folder / name / split / "0000.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            dataset.cast_column("audio", Audio(decode=False)).to_parquet(path)


# Layout -> the source that reads it, what writes it, and a label that it knows.
LAYOUTS = {
    "CSV files": ("folder", write_csv, "word"),
    "split folders": ("folder", write_splits, "word"),
    "class folders": ("folder", write_classes, "word"),
    "folds": ("folder-fold2", write_classes, "word"),
    "all clips": ("folder-all", write_classes, "word"),
    "speech_commands": ("speech_commands", write_words, "word"),
    "magnatagatune": ("magnatagatune", write_tags, "word"),
    "magnatagatune-26k": ("magnatagatune-26k", write_tags, "word"),
    "dcase2017": ("dcase2017", write_scenes, SCENES[0]),
    "million_song": ("million_song", write_songs, TAGS[0]),
    "Parquet": ("hub", write_parquet, "word"),
}
IN_PATHS = {
    "split folders",
    "class folders",
    "folds",
    "all clips",
    "speech_commands",
}  # the label is the name of a folder
BAD_LABELS = [
    *("", " ", "\t", "two\nlines", "two\rlines", "tab\there", "null\0byte", "\x1b[31mred", "\x7f", "\x85"),
    *("line\u2028separator", "paragraph\u2029separator", os.fsdecode(b"caf\xe9"), "\ud800", "other ", "  other"),
]


def can_hold(layout: str, label: str) -> bool:
    if layout in IN_PATHS:
        return label not in ("", "\ud800") and "\0" not in label
    return not any("\ud800" <= character <= "\udfff" for character in label)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def load(layout, folder):
    source = LAYOUTS[layout][0]
    return load_source(source, folder / "label" if source == "hub" else folder)


def test_every_source_is_tested():
    assert {source.partition("-fold")[0] for source, _, _ in LAYOUTS.values()} == set(SOURCES)


@pytest.mark.parametrize(
    "label", ["two words", "Bücher", "été", "日本語", "می‌خواهم", "👩‍🚒", "<b>", "$x^2$", "a;b", "'\""]
)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_names_of_labels_in_any_language(folder, layout, label):
    source, write, known = LAYOUTS[layout]
    write(folder, known if source in ("dcase2017", "million_song") else label, "-é ü.wav")
    labels = load(layout, folder).labels
    assert (label in labels) or source in ("dcase2017", "million_song")


@pytest.mark.parametrize(
    "layout, label", [(layout, label) for layout in LAYOUTS for label in BAD_LABELS if can_hold(layout, label)]
)
def test_names_of_labels_are_checked_before_training(folder, layout, label):
    LAYOUTS[layout][1](folder, label, "clip.wav")
    with pytest.raises(DataError) as error:
        load(layout, folder)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("layout", sorted(IN_PATHS))
def test_file_names_that_are_not_utf8_are_listed(folder, layout):
    source, write, label = LAYOUTS[layout]
    write(folder, label, os.fsdecode(b"\xff\xfe.wav"))
    clips = [clip for clips in load(layout, folder).splits.values() for clip in clips]
    assert any(b"\xff\xfe" in os.fsencode(clip.path) for clip in clips)
    assert all(clip.stamp() != "missing" for clip in clips)


def test_listed_file_name_that_is_not_utf8(folder):
    write_words(folder, "word", "-\udcff.wav")
    (folder / "validation_list.txt").write_bytes(b"word/a-\xff.wav\n")
    assert [clip.path.name for clip in load_source("speech_commands", folder).splits["validation"]] == ["a-\udcff.wav"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_data_dir_that_is_not_utf8(tmp_path, layout):
    folder = tmp_path / os.fsdecode(b"\xff")
    folder.mkdir()
    with pytest.raises(DataError, match=r"data_dir is not one line of UTF-8 text: '.*\\udcff"):
        load(layout, folder)


@pytest.mark.parametrize("layout", ["CSV files", "magnatagatune", "magnatagatune-26k", "dcase2017"])
def test_null_byte_in_the_name_of_a_file(folder, layout):
    _, write, label = LAYOUTS[layout]
    write(folder, label, "null\0byte.wav")
    with pytest.raises(DataError, match="row 1 holds a null byte|row 2 holds a null byte"):
        load(layout, folder)


TABLES = {
    "CSV files": ["train.csv", "validation.csv"],
    "speech_commands": ["validation_list.txt", "testing_list.txt"],
    "magnatagatune": ["annotations_final.csv"],
    "dcase2017": [f"groundtruth_weak_label_{name}_set.csv" for name in AUDIO_FOLDERS],
    "million_song": ["train.csv", "validation.csv", "test.csv"],
}


@pytest.mark.parametrize("kind", ["FIFO", "device", "folder"])
@pytest.mark.parametrize("layout, table", [(layout, table) for layout in TABLES for table in TABLES[layout]])
def test_table_that_is_not_a_file(folder, layout, table, kind):
    """It is reported, and reading it never blocks."""
    LAYOUTS[layout][1](folder, LAYOUTS[layout][2], ".wav")
    load(layout, folder)
    (folder / table).unlink()
    make_special(folder / table, kind)
    with pytest.raises(DataError, match=f"{table} is (missing or )?not a file"):
        load(layout, folder)


def make_special(path: Path, kind: str):
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()


@pytest.mark.parametrize("kind", ["FIFO", "device", "folder"])
@pytest.mark.parametrize("layout", sorted(IN_PATHS))
def test_audio_that_is_not_a_file_is_listed_without_blocking(folder, layout, kind):
    LAYOUTS[layout][1](folder, "word", "clip.wav")
    for path in list(folder.rglob("*clip.wav")):
        path.unlink()
        make_special(path, kind)
    clips = [clip for clips in load(layout, folder).splits.values() for clip in clips]
    assert sum(clip.path.name.endswith("clip.wav") for clip in clips) > 0
    assert all(clip.stamp() for clip in clips)


def test_parquet_that_is_a_fifo(folder):
    write_parquet(folder, "word", "clip.wav")
    for split in ("train", "validation"):
        (folder / "label" / split / "0000.parquet").unlink()
        os.mkfifo(folder / "label" / split / "0000.parquet")
    with pytest.raises(DataError, match="cannot load"):
        load("Parquet", folder)
