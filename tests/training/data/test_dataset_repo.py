import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from datasets import Dataset, Features, concatenate_datasets
from huggingface_hub import DatasetCard

from training.data import load_source
from training.data.prepared import PreparedClips, prepare


def check_same_clips(source_name, data_dir, read, tmp_path):
    """To the last bit, and with the same labels."""
    source = load_source(source_name, data_dir)
    here = prepare(source, 22050, tmp_path / "expected", source.splits)
    for split, clips in here.items():
        shards = [Dataset.from_file(str(shard)) for shard in sorted(read.glob(f"{split}-*.arrow"))]
        found = PreparedClips(concatenate_datasets(shards))
        assert len(found) == len(clips) and found.labels == clips.labels
        for pcm, expected in zip(found, clips, strict=True):
            np.testing.assert_array_equal(pcm, expected)


@pytest.mark.slow
def test_data_sets_come_back_as_they_were(tones, write_chords, hub, online, tmp_path):
    """A single-label one, pushed twice, and a multi-label one."""

    def push(source, folder, repo_id):
        options = ["--data_dir", folder, "--license", "cc-by-4.0", "--cache_dir", tmp_path / "here"]
        return ["training.publish", "main", [["dataset", source, repo_id, *options]]]

    def read(repo_id):
        return ["training.prepare", "main", [["hub", f"--data_dir={repo_id}", f"--cache_dir={tmp_path / 'read'}"]]]

    chords = write_chords(tmp_path / "chords")
    (tones / "low" / "train3.wav").write_text("broken")
    push_tones = push("folder", tones, "ann/tones")
    push_chords = push("magnatagatune-26k", chords, "ann/chords")
    outcomes = online.call(push_tones, push_tones, read("ann/tones"), push_chords, read("ann/chords"))
    assert [outcome["error"] for outcome in outcomes] == [None] * 5
    assert "/commit/" in outcomes[0]["printed"]
    check_same_clips("folder", tones, Path(json.loads(outcomes[2]["printed"])["folder"]), tmp_path)
    check_same_clips("magnatagatune-26k", chords, Path(json.loads(outcomes[4]["printed"])["folder"]), tmp_path)

    card = hub.repos.pop(("dataset", "ann/chords")).files()["README.md"].content.decode()
    assert "**Synthetic data**" in card and "any number of 3 labels per clip" in card

    repo = hub.repos.pop(("dataset", "ann/tones"))
    assert set(repo.files()) == {
        ".gitattributes",
        "README.md",
        *(f"data/{split}-00000-of-00001.parquet" for split in ("train", "validation", "test")),
    }
    card = DatasetCard(repo.files()["README.md"].content.decode())
    assert card.data.license == "cc-by-4.0" and card.data.task_categories == ["audio-classification"]
    assert {split["name"]: split["num_examples"] for split in card.data.dataset_info["splits"]} == {
        "train": 35,
        "validation": 12,
        "test": 12,
    }
    assert "| train | 35 |" in card.text and "one of 3 labels per clip" in card.text
    assert "ynthetic" not in card.content

    table = pq.read_table(io.BytesIO(repo.files()["data/test-00000-of-00001.parquet"].content))
    features = Features.from_arrow_schema(table.schema)
    assert features["label"].names == ["high", "low", "middle"]
    assert features["audio"].sampling_rate == 22050
    first = table.to_pylist()[0]
    assert first["label"] == 0 and first["audio"]["path"] == "test0.flac"
    assert soundfile.info(io.BytesIO(first["audio"]["bytes"])).subtype == "PCM_16"
    # nobody learns where the files were
    assert str(tones).encode() not in repo.files()["README.md"].content
