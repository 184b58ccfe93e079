import itertools
import os
import random

import numpy as np
import pytest
import soundfile

from training.data import load_source, prepared
from training.data.prepared import prepare
from training.data.sources import magnatagatune
from training.errors import DataError
from training.paper import check_paper_counts

# The list in circulation, the most frequent first (for one, MTT_LABELS of jordipons/musicnn-training).
TOP_50 = [
    *("guitar", "classical", "slow", "techno", "strings", "drums", "electronic", "rock", "fast", "piano", "ambient"),
    *("beat", "violin", "vocal", "synth", "female", "indian", "opera", "male", "singing", "vocals", "no vocals"),
    *("harpsichord", "loud", "quiet", "flute", "woman", "male vocal", "no vocal", "pop", "soft", "sitar", "solo"),
    *("man", "classic", "choir", "voice", "new age", "dance", "male voice", "female vocal", "beats", "harp", "cello"),
    *("no voice", "weird", "country", "metal", "female voice", "choral"),
]
TIE = ("female voice", "metal")  # as frequent as each other; in this order in the table
NAMES = ["magnatagatune", "magnatagatune-26k"]


def write_annotations(path, tags, clips):
    """`clips`: (clip id, indices of its tags, mp3 path)."""
    with path.open("w", encoding="utf-8") as file:
        file.write("\t".join(f'"{name}"' for name in ("clip_id", *tags, "mp3_path")) + "\n")
        for clip_id, heard, mp3_path in clips:
            values = ["0"] * len(tags)
            for tag in heard:
                values[tag] = "1"
            file.write("\t".join((clip_id, *values, mp3_path)) + "\n")


def make_clips(numbers):
    """Ids and paths of all clips by split; the first ones of each split shall have a label."""
    empty = numbers["zero_byte_clip_ids"]
    sizes = numbers["larger_26k"] | {"train": numbers["larger_26k"]["train"] + len(empty)}
    ids = itertools.count(100_000)
    clips = {}
    for split, folders in {"train": "0123456789ab", "validation": "c", "test": "def"}.items():
        names = itertools.islice(zip(ids, itertools.cycle(folders), strict=False), sizes[split])
        clips[split] = [[str(clip_id), f"{folder}/clip-{clip_id}-0-29.mp3"] for clip_id, folder in names]
    for clip, clip_id in zip(clips["train"], empty, strict=False):
        clip[0] = str(clip_id)
    return clips


@pytest.fixture(scope="module")
def full_size(paper, tmp_path_factory):
    """annotations_final.csv with as many rows and tags as the real one; what is heard is invented."""
    numbers = paper["splits"]["magnatagatune"]
    clips = make_clips(numbers)
    labeled = [clip for split, number in numbers["with_a_tag"].items() for clip in clips[split][:number]]
    everything = [clip for split in clips.values() for clip in split]

    counts = {tag: 600 + 85 * i for i, tag in enumerate(reversed(TOP_50))}
    counts[TIE[0]] = counts[TIE[1]]
    tags = [*TOP_50, *(f"rare {i}" for i in range(138))]
    random.Random(0).shuffle(tags)
    first, second = sorted(map(tags.index, TIE))
    tags[first], tags[second] = TIE
    heard = {clip_id: [] for clip_id, _ in everything}
    next_labeled, next_clip = itertools.cycle(labeled), itertools.cycle(everything)
    for column, tag in enumerate(tags):
        for clip_id, _ in itertools.islice(next_labeled if tag in counts else next_clip, counts.get(tag, 500)):
            heard[clip_id].append(column)

    folder = tmp_path_factory.mktemp("magnatagatune")
    rows = [(clip_id, heard[clip_id], mp3_path) for clip_id, mp3_path in everything]
    random.Random(1).shuffle(rows)
    write_annotations(folder / magnatagatune.ANNOTATIONS, tags, rows)
    too_short = numbers["readable"]["train"] - paper["datasets"]["magnatagatune"]["splits"]["train"]
    return folder, {os.path.basename(path) for _, path in clips["train"][10 : 10 + too_short]}


def test_the_papers_clips(full_size, paper, split_sizes, monkeypatch, tmp_path):
    folder, too_short = full_size
    source = load_source("magnatagatune", folder)
    assert source.name == "magnatagatune"
    assert source.problem_type == paper["datasets"]["magnatagatune"]["problem_type"]
    assert source.labels == TOP_50
    assert split_sizes(source) == paper["splits"]["magnatagatune"]["readable"]
    assert all(clip.labels for clips in source.splits.values() for clip in clips)

    def decode(clip, extractor):
        seconds = 29.1 if clip.path.name in too_short else 29.2
        return np.zeros(round(seconds * 10), np.int16), 22050, None

    monkeypatch.setattr(prepared, "decode", decode)
    monkeypatch.setattr(prepared, "SampleCNNFeatureExtractor", lambda sampling_rate: None)
    clips = prepare(source, 10, tmp_path, quiet=True)
    assert {split: len(found) for split, found in clips.items()} == paper["datasets"]["magnatagatune"]["splits"]
    check_paper_counts(source.name, clips)


def test_all_clips(full_size, paper, split_sizes):
    source = load_source("magnatagatune-26k", full_size[0])
    assert source.name == "magnatagatune-26k"
    assert source.labels == TOP_50
    assert split_sizes(source) == paper["splits"]["magnatagatune"]["larger_26k"]
    folders = {split: {clip.path.parent.name for clip in clips} for split, clips in source.splits.items()}
    assert folders == {"train": set("0123456789ab"), "validation": {"c"}, "test": set("def")}


def test_constants_are_the_papers(paper):
    numbers = paper["splits"]["magnatagatune"]
    assert magnatagatune.MIN_SECONDS == numbers["min_duration_seconds"]
    assert sorted(map(int, magnatagatune.EMPTY_CLIP_IDS)) == numbers["zero_byte_clip_ids"]
    assert magnatagatune.NUM_LABELS == paper["datasets"]["magnatagatune"]["num_labels"]


@pytest.fixture(scope="module")
def silence(tmp_path_factory):
    """Long enough and too short, as mp3."""
    folder = tmp_path_factory.mktemp("silence")
    for name, seconds in {"long": 29.2, "short": 28.9}.items():
        soundfile.write(folder / f"{name}.mp3", np.zeros(round(seconds * 16000)), 16000)
    return folder


CLIPS = [
    ("2", [0, 2], "0/a-0-29.mp3"),
    ("6", [0], "a/too_short-0-29.mp3"),
    ("10", [2], "c/b-0-29.mp3"),
    ("11", [], "c/no_label-29-58.mp3"),
    ("12", [1, 0], "f/c-0-29.mp3"),
    ("35644", [0], "6/norine_braun-now_and_zen-08-gently-117-146.mp3"),
]
TAGS = ["piano", "harp", "cello"]  # heard 4 times, once, twice


@pytest.fixture(params=["mp3", "."])
def small(request, tmp_path, silence):
    """The whole layout, with audio."""
    write_annotations(tmp_path / "annotations_final.csv", TAGS, CLIPS)
    for _, _, name in CLIPS[:-1]:
        path = tmp_path / request.param / name
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(silence / ("short.mp3" if "too_short" in name else "long.mp3"), path)
    return tmp_path


def describe(source):
    return {
        split: [(clip.path.name, *(source.labels[i] for i in clip.labels)) for clip in clips]
        for split, clips in source.splits.items()
    }


def test_audio_tells_which_clips_are_too_short(small, tmp_path):
    source = load_source("magnatagatune", small)
    assert source.labels == ["piano", "cello", "harp"]
    assert describe(source) == {
        "train": [("a-0-29.mp3", "piano", "cello"), ("too_short-0-29.mp3", "piano")],
        "validation": [("b-0-29.mp3", "cello")],
        "test": [("c-0-29.mp3", "piano", "harp")],
    }
    clips = prepare(source, 22050, tmp_path / "prepared", quiet=True)
    assert {split: len(found) for split, found in clips.items()} == {"train": 1, "validation": 1, "test": 1}
    report = next((tmp_path / "prepared").rglob("train-report.csv")).read_text()
    assert "a/too_short-0-29.mp3,not longer than 29.1 s" in report


def test_clips_without_label_and_short_ones_are_among_all(small):
    assert describe(load_source("magnatagatune-26k", small)) == {
        "train": [("a-0-29.mp3", "piano", "cello"), ("too_short-0-29.mp3", "piano")],
        "validation": [("b-0-29.mp3", "cello"), ("no_label-29-58.mp3",)],
        "test": [("c-0-29.mp3", "piano", "harp")],
    }


def test_equally_frequent_tags(tmp_path):
    heard = [[0, 1, 2], [0, 1, 2], [1]]
    clips = [(str(i), heard[i], f"{folder}/{i}.mp3") for i, folder in enumerate("0cd")]
    write_annotations(tmp_path / "annotations_final.csv", ["female voice", "country", "metal"], clips)
    assert load_source("magnatagatune-26k", tmp_path).labels == ["country", "metal", "female voice"]


def replace_clip(mp3_path):
    return lambda folder: write_annotations(
        folder / "annotations_final.csv", TAGS, [*CLIPS[:-1], ("13", [0], mp3_path)]
    )


def edit(old, new):
    def change(folder):
        path = folder / "annotations_final.csv"
        path.write_text(path.read_text().replace(old, new, 1))

    return change


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "change, message",
    [
        (lambda folder: (folder / "annotations_final.csv").unlink(), "annotations_final.csv is missing"),
        (edit('"clip_id"', '"id"'), "needs the columns clip_id, tags and mp3_path"),
        (edit('"mp3_path"', '"path"'), "needs the columns clip_id, tags and mp3_path"),
        (edit("2\t1\t0\t1\t", "2\t1\t0\t"), "row 2 has 4 columns instead of 5"),
        (edit("2\t1\t0\t1\t", "2\t1\t0\tyes\t"), "row 2 has a tag that is neither 0 nor 1"),
        (replace_clip("g/a.mp3"), "row 7: 'g/a.mp3' is not in one of the folders 0-f"),
        (replace_clip("../a.mp3"), "row 7: '../a.mp3' is not in one of the folders 0-f"),
        (replace_clip("/etc/passwd"), "row 7: '/etc/passwd' is not in one of the folders 0-f"),
        (replace_clip("f/../../a.mp3"), "'f/../../a.mp3' leads out of the folder"),
        (replace_clip("f/c-0-29.mp3"), "'f/c-0-29.mp3' is listed more than once"),
        (edit("10\t", "2\t"), "'2' is listed more than once"),
        (lambda folder: write_annotations(folder / "annotations_final.csv", TAGS, CLIPS[:4]), "no test clips of mag"),
        (lambda folder: write_annotations(folder / "annotations_final.csv", TAGS, []), "no train clips of mag"),
    ],
)
def test_faulty_data(small, name, change, message):
    load_source(name, small)  # good before the change
    change(small)
    with pytest.raises(DataError, match=message) as error:
        load_source(name, small)
    assert "\n" not in str(error.value)
