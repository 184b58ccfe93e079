import csv
import itertools
import string

import pytest

from training.data import load_source
from training.data.sources.million_song import TAGS
from training.errors import DataError


def write_tables(folder, tables):
    """`tables`: split -> (track id, tags)."""
    for split, rows in tables.items():
        with (folder / f"{split}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("track_id", "tags"), *rows])


def test_split_sizes(tmp_path, paper, split_sizes):
    track_ids = (f"TR{''.join(letters)}128F14A5138" for letters in itertools.product(string.ascii_uppercase, repeat=5))
    tags = itertools.cycle(f"{first};{second}" for first, second in itertools.pairwise(TAGS))
    sizes = paper["splits"]["million_song"]["usual"]
    tables = {split: [(next(track_ids), next(tags)) for _ in range(size)] for split, size in sizes.items()}
    write_tables(tmp_path, tables)
    source = load_source("million_song", tmp_path)
    assert split_sizes(source) == sizes
    assert source.problem_type == "multi_label_classification"
    first = source.splits["train"][0]
    assert first.path == tmp_path / "A" / "A" / "A" / "TRAAAAA128F14A5138.mp3"
    assert first.labels == (0, 1)


def test_labels(paper):
    assert len(set(TAGS)) == len(TAGS) == paper["splits"]["million_song"]["num_labels"]
    # The ends of 50tagList.txt in jongpillee/music_dataset_split, and those that are not in lower case.
    assert TAGS[:3] == ["rock", "pop", "alternative"] and TAGS[-3:] == ["sad", "House", "happy"]
    assert [tag for tag in TAGS if tag != tag.lower()] == ["Mellow", "Hip-Hop", "Progressive rock", "House"]


ROWS = {
    "train": [("TRAAAAK128F9318786", "rock;Hip-Hop"), ("TRYOHDQ12903CB277E", "pop")],
    "validation": [("TRZZZZD128F4236844", "happy;pop;rock")],
    "test": [("TRAAABD128F429CF47", "female vocalists")],
}


@pytest.fixture(params=["mp3", "."])
def small(request, tmp_path):
    """The whole layout; empty files do for audio."""
    write_tables(tmp_path, ROWS)
    for track_id, _ in itertools.chain.from_iterable(ROWS.values()):
        path = tmp_path / request.param / track_id[2] / track_id[3] / track_id[4] / f"{track_id}.mp3"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_layout(small):
    source = load_source("million_song", small)
    found = {
        split: [(clip.path.stem, {source.labels[i] for i in clip.labels}) for clip in clips]
        for split, clips in source.splits.items()
    }
    assert found == {split: [(track, set(tags.split(";"))) for track, tags in rows] for split, rows in ROWS.items()}
    assert all(clip.path.is_file() for clips in source.splits.values() for clip in clips)


@pytest.mark.parametrize("split", ROWS)
@pytest.mark.parametrize(
    "table, message",
    [
        (None, "{split}.csv is missing"),
        ("", "{split}.csv has no rows"),
        ("track_id,tags\n", "no {split} clips of million_song"),
        ("track,tags\nTRAAAAK128F9318786,rock\n", "{split}.csv needs the columns track_id and tags.*'track'"),
        ("track_id,tags\nTRAAAAK128F9318786\n", "{split}.csv: row 2 has 1 columns instead of 2"),
        ("track_id,tags\nTRAAAAK128F9318786,rock;Rock\n", "{split}.csv: row 2: 'Rock' is not one of the 50 tags"),
        ("track_id,tags\nTRAAAAK128F9318786,\n", "{split}.csv: row 2: '' is not one of the 50 tags"),
        ("track_id,tags\n8947470,rock\n", "{split}.csv: row 2: '8947470' is not a track id"),
        ("track_id,tags\nTR../../../etc/pw,rock\n", "{split}.csv: row 2: 'TR../../../etc/pw' is not a track id"),
    ],
)
def test_faulty_data(small, split, table, message):
    path = small / f"{split}.csv"
    path.unlink()
    if table is not None:
        path.write_text(table)
    with pytest.raises(DataError, match=message.format(split=split)) as error:
        load_source("million_song", small)
    assert "\n" not in str(error.value)


def test_track_in_two_splits(small):
    (small / "test.csv").write_text("track_id,tags\nTRAAAAK128F9318786,rock\n")
    with pytest.raises(DataError, match="TRAAAAK128F9318786.mp3' is listed more than once"):
        load_source("million_song", small)
