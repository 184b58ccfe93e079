import io

import numpy as np
import pytest
import soundfile
from datasets import Audio, ClassLabel, Dataset, Features, List, Value

from training.data import load_source
from training.data.prepared import prepare
from training.errors import DataError


def wav(pitch: float) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, 0.5 * np.sin(pitch * np.arange(2205)), 22050, format="wav")
    return file.getvalue()


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def publish(tmp_path):
    """Writes splits as Parquet files, as `push_to_hub` does; each row is (label, ...) of the columns of `features`."""

    def write(splits, to="repo", no_audio=(), **features):
        features = Features({"audio": {"bytes": Value("binary"), "path": Value("string")}, **features})
        for split, rows in splits.items():
            columns = {"audio": [{"bytes": wav(0.1 + 0.01 * i), "path": None} for i in range(len(rows))]}
            if split == "train":
                columns["audio"] = [None if i in no_audio else audio for i, audio in enumerate(columns["audio"])]
            for i, name in enumerate(list(features)[1:]):
                columns[name] = [row[i] for row in rows]
            (tmp_path / to / split).mkdir(parents=True)
            dataset = Dataset.from_dict(columns, features).cast_column("audio", Audio(decode=False))
            dataset.to_parquet(tmp_path / to / split / "0000.parquet")
        return str(tmp_path / to)

    return write


def names_of(source):
    return {
        split: [[source.labels[i] for i in clip.labels] for clip in clips] for split, clips in source.splits.items()
    }


def test_classes_and_splits(publish, tmp_path):
    rows = {"train": [(0,), (1,), (1,)], "validation": [(1,)], "test": [(0,), (1,)]}
    source = load_source("hub", publish(rows, label=ClassLabel(names=["no", "yes"])))
    assert source.labels == ["no", "yes"] and source.metric == "accuracy"
    assert names_of(source) == {
        "train": [["no"], ["yes"], ["yes"]],
        "validation": [["yes"]],
        "test": [["no"], ["yes"]],
    }
    clips = prepare(source, 22050, tmp_path / "prepared", quiet=True)["train"]
    expected = soundfile.read(io.BytesIO(wav(0.12)), dtype="int16")[0]
    np.testing.assert_array_equal(clips[2], expected)


def test_several_labels_a_clip_as_text(publish):
    rows = {"train": [(["rock", "loud"],), ([],)], "validation": [(["rock"],)]}
    source = load_source("hub", publish(rows, tags=List(Value("string"))) + "::tags")
    assert source.problem_type == "multi_label_classification" and source.metric == "roc_auc"
    assert names_of(source) == {"train": [["loud", "rock"], []], "validation": [["rock"]]}


def test_without_validation_a_tenth_of_the_training_is_held_out(publish):
    folder = publish({"train": [(i % 2,) for i in range(40)], "test": [(0,)]}, label=ClassLabel(names=["a", "b"]))
    sources = [load_source("hub", folder) for _ in range(2)]
    sizes = {split: len(clips) for split, clips in sources[0].splits.items()}
    assert sizes == {"train": 36, "validation": 4, "test": 1}
    assert [names_of(source) for source in sources] == [names_of(sources[0])] * 2
    contents = {clip.content() for split in ("train", "validation") for clip in sources[0].splits[split]}
    assert len(contents) == 40


def test_column_of_labels_is_found_or_asked_for(publish):
    accent, intent = ClassLabel(names=["uk", "us"]), ClassLabel(names=["pay", "ask"])
    folder = publish({"train": [(0, 1), (1, 0)], "validation": [(1, 1)]}, accent=accent, intent=intent)
    with pytest.raises(DataError, match="has several columns of labels.*ORG/NAME:CONFIG:COLUMN.*accent, intent"):
        load_source("hub", folder)
    assert load_source("hub", f"{folder}::intent").labels == ["pay", "ask"]
    with pytest.raises(DataError, match="has no column 'intention'"):
        load_source("hub", f"{folder}::intention")


@pytest.mark.parametrize("label", [None, -1])
def test_rows_without_a_label(publish, label):
    rows = {"train": [(0,), (1,)], "validation": [(0,)], "test": [(label,), (1,), (label,)]}
    with pytest.raises(DataError, match="test: row 0 has no label .and 1 more like it"):
        load_source("hub", publish(rows, label=ClassLabel(names=["no", "yes"])))


def test_row_without_audio_is_reported(publish, tmp_path):
    rows = {"train": [("a",), ("b",), ("b",)], "validation": [("a",)]}
    source = load_source("hub", publish(rows, label=Value("string"), no_audio=(1,)))
    assert len(prepare(source, 22050, tmp_path / "prepared", quiet=True)["train"]) == 2
    assert "train/1,has no audio" in next((tmp_path / "prepared").rglob("train-report.csv")).read_text()


def test_other_faults(publish, tmp_path):
    folder = publish({"test": [("a",)]}, label=Value("string"))
    with pytest.raises(DataError, match="has no split named train: it has test"):
        load_source("hub", folder)
    with pytest.raises(DataError, match="too few rows"):
        load_source("hub", publish({"train": [("a",)]}, label=Value("string"), to="short"))
    with pytest.raises(DataError, match="cannot load .*nowhere.* give ORG/NAME"):
        load_source("hub", str(tmp_path / "nowhere"))


def test_label_that_is_never_trained(publish):
    folder = publish({"train": [("a",), ("b",)], "validation": [("c",)]}, label=Value("string"))
    with pytest.raises(DataError, match="'c' is in validation but not in train"):
        load_source("hub", folder)
