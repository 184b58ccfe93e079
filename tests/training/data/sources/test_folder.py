from pathlib import Path

import pytest

from training.data import load_source
from training.data.sources.speech_commands import assign_split
from training.errors import DataError

ARABIC_DIR = Path(__file__).parents[5] / "shared" / "data" / "arabic_speech_commands"
needs_arabic = pytest.mark.skipif(not ARABIC_DIR.is_dir(), reason=f"no real recordings in {ARABIC_DIR}")


def write(folder, files):
    """`files`: name -> text; the loader does not decode, so empty files do for audio."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def describe(source, folder):
    return {
        split: sorted(
            (clip.path.relative_to(folder).as_posix(), *(source.labels[i] for i in clip.labels)) for clip in clips
        )
        for split, clips in source.splits.items()
    }


@pytest.mark.parametrize("validation", ["validation", "valid", "val", "dev"])
def test_csv_layout(tmp_path, validation):
    write(tmp_path, {"audio/1.wav": "", "audio/2.FLAC": "", "3.ogg": "", "4.mp3": ""})
    write(
        tmp_path,
        {
            "train.csv": "\ufeffclass,file,note\nrain,audio/1.wav,x\ndog,audio/2.FLAC,\n",  # a BOM, as Excel writes
            f"{validation}.csv": "file,class\n3.ogg,dog\n",
            "test.csv": "file,class\n4.mp3,rain\n",
        },
    )
    source = load_source("folder", tmp_path)
    assert source.labels == ["dog", "rain"]
    assert source.problem_type == "single_label_classification"
    assert describe(source, tmp_path) == {
        "train": [("audio/1.wav", "rain"), ("audio/2.FLAC", "dog")],
        "validation": [("3.ogg", "dog")],
        "test": [("4.mp3", "rain")],
    }


@pytest.mark.parametrize("validation", ["validation", "valid", "val", "dev"])
def test_split_folders_layout(tmp_path, validation):
    names = ["train/rain/1.wav", "train/dog/2.Wav", "train/_unknown_/4.wav", f"{validation}/dog/3.ogg"]
    others = ["train/dog/._2.wav", "train/dog/notes.txt", "train/_unused/5.wav"]
    write(tmp_path, dict.fromkeys([*names, *others], ""))
    source = load_source("folder", tmp_path)
    assert source.labels == ["_unknown_", "dog", "rain"]
    assert describe(source, tmp_path) == {
        "train": [("train/_unknown_/4.wav", "_unknown_"), ("train/dog/2.Wav", "dog"), ("train/rain/1.wav", "rain")],
        "validation": [(f"{validation}/dog/3.ogg", "dog")],
    }


def test_class_folders_layout_splits_by_hash(tmp_path):
    names = [f"{class_name}/{i}.wav" for class_name in ("rain", "dog") for i in range(60)]
    write(tmp_path, dict.fromkeys(names, ""))
    source = load_source("folder", tmp_path)
    assert set(source.splits) == {"train", "validation", "test"}
    assert sum(map(len, source.splits.values())) == len(names)
    for split, clips in source.splits.items():
        assert {assign_split(clip.path.name) for clip in clips} == {split}


GOOD = {
    "train.csv": "file,class\na.wav,dog\nd.wav,rat\n",
    "val.csv": "file,class\nb.wav,dog\n",
    "a.wav": "",
    "b.wav": "",
}


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"train.csv": "file,label\na.wav,dog\n"}, r"train.csv needs the columns file and class.*'label'"),
        ({"train.csv": "path,class\na.wav,dog\n"}, r"train.csv needs the columns file and class.*'path'"),
        ({"train.csv": ""}, r"train.csv has no rows"),
        ({"val.csv": "file,class\n"}, r"val.csv has no rows"),
        ({"train.csv": "file,class\na.wav\n"}, r"train.csv: row 2 has 1 columns instead of 2"),
        ({"train.csv": "file,class\n\n,dog\na.wav,\n"}, r"train.csv: row 3: file or class is empty .and 1 more"),
        ({"train.csv": "file,class\na.wav,dog\na.wav,rat\n"}, r"'a.wav' is listed more than once"),
        ({"val.csv": "file,class\n./a.wav,dog\n"}, r"'a.wav' is listed more than once"),
        ({"train.csv": "file,class\na.wav,dog\n"}, r"only the class 'dog'"),
        ({"val.csv": "file,class\nb.wav,cat\n"}, r"class 'cat' of .*b.wav is in validation but not in train"),
        ({"test.csv": "file,class\nc.wav,cat\n"}, r"class 'cat' of .*c.wav is in test but not in train"),
        ({"train.csv": "file,class\n../a.wav,dog\n"}, r"'../a.wav' leads out of"),
        ({"train.csv": "file,class\n/etc/passwd,dog\n"}, r"'/etc/passwd' leads out of"),
        ({"dev.csv": GOOD["val.csv"]}, r"both val.csv and dev.csv"),
    ],
)
def test_faulty_csv(tmp_path, changed, message):
    write(tmp_path, GOOD)
    load_source("folder", tmp_path)  # good before the change
    write(tmp_path, changed)
    with pytest.raises(DataError, match=message) as error:
        load_source("folder", tmp_path)
    assert "\n" not in str(error.value)


def test_csv_that_is_not_utf8(tmp_path):
    write(tmp_path, GOOD)
    (tmp_path / "train.csv").write_bytes("file,class\na.wav,forêt\n".encode("latin-1"))
    with pytest.raises(DataError, match="train.csv is not a table in UTF-8"):
        load_source("folder", tmp_path)


@pytest.mark.parametrize(
    "files, message",
    [
        ({}, "no audio"),
        ({"dog/notes.txt": ""}, "no audio"),
        ({"train/dog/1.wav": ""}, "no validation data"),
        ({"validation/dog/1.wav": "", "train/notes.txt": ""}, "no train data"),
        ({"train.csv": GOOD["train.csv"], "a.wav": ""}, "no validation data"),
        ({"dog/bark.wav": ""}, "no validation data"),
        ({"train/dog/1.wav": "", "val/cat/2.wav": ""}, "class 'cat' of .*cat/2.wav is in validation but not in train"),
    ],
)
def test_data_that_cannot_be_trained_on(tmp_path, files, message):
    write(tmp_path, files)
    with pytest.raises(DataError, match=message):
        load_source("folder", tmp_path)


@needs_arabic
def test_real_csv_data():
    source = load_source("folder", ARABIC_DIR)
    assert len(source.labels) == 40
    assert {split: len(clips) for split, clips in source.splits.items()} == {"train": 7200, "validation": 2400}
