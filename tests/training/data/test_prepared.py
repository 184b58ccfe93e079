import csv
import multiprocessing
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from datasets import load_dataset

from training.data import prepared
from training.data.prepared import prepare, prepared_folder
from training.data.source import Clip, Source
from training.errors import DataError

RATE = 22050


def write_tone(path: Path, seconds: float = 0.1, rate: int = RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.5 * np.sin(np.arange(round(seconds * rate)) / 10), rate)
    return path


def make_source(paths, labels=(0,), data_dir="data", **options) -> Source:
    """All of `paths` for training, and the first of them for validation, too."""
    clips = [Clip(path, labels) for path in paths]
    splits = {"train": clips, "validation": clips[:1]}
    return Source("folder", data_dir, ["a", "b"], "multi_label_classification", splits, "roc_auc", **options)


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(prepared, "SHARD_CLIPS", 4)


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that are decoded, one after the other."""
    names = []
    decode = prepared.decode

    def noting(clip, extractor):
        names.append(clip.path.name)
        return decode(clip, extractor)

    monkeypatch.setattr(prepared, "decode", noting)
    return names


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*/*.arrow")}


def test_clips_are_mono_pcm_at_the_models_rate_in_order(tmp_path):
    stereo = np.stack([np.full(44100, 0.5), np.full(44100, 0.25)], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, 44100, subtype="FLOAT")
    soundfile.write(tmp_path / "b.wav", np.array([2.0, -2.0] * 50), RATE, subtype="FLOAT")
    clips = prepare(make_source([tmp_path / "a.wav", tmp_path / "b.wav"], (1, 0)), RATE, tmp_path / "out")["train"]
    assert len(clips) == 2 and clips.num_samples.tolist() == [RATE, 100] and clips.labels == [[1, 0], [1, 0]]
    assert clips[0].dtype == np.int16 and clips[0][11025] == pytest.approx(0.375 * 2**15, abs=1)
    assert set(clips[1]) == {-(2**15), 2**15 - 1}  # what is too loud saturates and does not wrap


def test_reading_a_clip_copies_nothing(tmp_path):
    clips = prepare(make_source([write_tone(tmp_path / "a.wav")]), RATE, tmp_path / "out")["train"]
    assert not clips[0].flags.owndata and not clips[0].flags.writeable
    assert np.shares_memory(clips[0], clips[0][10:20])


def test_datasets_reads_the_shards(tmp_path, small_shards):
    paths = [write_tone(tmp_path / f"{i}.wav", 0.01 * (i + 1)) for i in range(6)]
    clips = prepare(make_source(paths, (1,)), RATE, tmp_path / "out")["train"]
    files = sorted(map(str, (tmp_path / "out").glob("*/train-*.arrow")))
    dataset = load_dataset("arrow", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    assert [row["file"] for row in dataset] == [str(path) for path in paths]
    assert dataset["pcm"][5] == clips[5].tolist() and dataset["labels"][:] == [[1]] * 6


def test_what_is_prepared_is_not_decoded_again(tmp_path, small_shards, decoded):
    paths = [write_tone(tmp_path / f"{i}.wav") for i in range(10)]
    prepare(make_source(paths), RATE, tmp_path / "out")
    assert sorted(decoded) == sorted([path.name for path in paths] + ["0.wav"])
    before = contents(tmp_path / "out")
    decoded.clear()
    prepare(make_source(paths), RATE, tmp_path / "out")
    assert decoded == [] and contents(tmp_path / "out") == before


def test_a_changed_file_is_noticed_and_its_shard_alone_made_again(tmp_path, small_shards, decoded):
    paths = [write_tone(tmp_path / f"{i}.wav") for i in range(10)]
    prepare(make_source(paths), RATE, tmp_path / "out")
    decoded.clear()
    write_tone(paths[5], seconds=0.2)
    clips = prepare(make_source(paths), RATE, tmp_path / "out")["train"]
    assert sorted(decoded) == ["4.wav", "5.wav", "6.wav", "7.wav"]
    assert clips.num_samples[5] == 4410
    assert len(contents(tmp_path / "out")) == 4  # the old shard is gone


@pytest.mark.parametrize("change", [{"rate": 16000}, {"labels": (1,)}, {"min_seconds": 0.05}])
def test_other_settings_are_noticed(tmp_path, decoded, change):
    paths = [write_tone(tmp_path / f"{i}.wav") for i in range(3)]
    prepare(make_source(paths), RATE, tmp_path / "out")
    decoded.clear()
    rate = change.pop("rate", RATE)
    clips = prepare(make_source(paths, **change), rate, tmp_path / "out")["train"]
    assert len(decoded) == 4 and clips.num_samples[0] == rate // 10
    assert clips.labels[0] == list(change.get("labels", (0,)))


def test_bad_files_are_reported_and_counted_and_the_others_kept(tmp_path, capsys):
    names = [
        "good.wav",
        "zero.mp3",
        "cut.wav",
        "gone.wav",
        "text.wav",
        "short.wav",
        "huge.flac",
        "pipe.wav",
        "device.wav",
        "folder.wav",
        "really_wav.raw",
        os.fsdecode(b"\xff.wav"),
    ]
    paths = [tmp_path / name for name in names]
    for path in paths:
        os.rename(write_tone(tmp_path / f"new{path.suffix.replace('raw', 'wav')}"), path)
    for name in ("pipe.wav", "device.wav", "folder.wav"):
        (tmp_path / name).unlink()
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "device.wav").symlink_to("/dev/zero")
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "zero.mp3").write_bytes(b"")
    (tmp_path / "cut.wav").write_bytes((tmp_path / "cut.wav").read_bytes()[:1000])
    (tmp_path / "gone.wav").unlink()
    flac = bytearray((tmp_path / "huge.flac").read_bytes())
    flac[22:26] = b"\xee\x6b\x28\x00"  # the last 32 bits of the number of samples in its header: four thousand million
    (tmp_path / "huge.flac").write_bytes(flac)
    (tmp_path / "text.wav").write_text("no audio")
    write_tone(tmp_path / "short.wav", 0.01)
    clips = prepare(make_source(paths, min_seconds=0.05), RATE, tmp_path / "out")
    assert {split: len(found) for split, found in clips.items()} == {"train": 3, "validation": 1}
    assert clips["train"].num_samples.tolist() == [2205, 2205, 2205]  # the first and, under odd names, the last two
    with next((tmp_path / "out").rglob("train-report.csv")).open(encoding="utf-8", newline="") as file:
        report = {Path(row["file"]).name: row["problem"] for row in csv.DictReader(file)}
    special = ["pipe.wav", "device.wav", "folder.wav"]
    assert list(report) == ["zero.mp3", "cut.wav", "gone.wav", "text.wav", "short.wav", "huge.flac", *special]
    assert "cannot be read as audio" in report["zero.mp3"]
    assert "is truncated" in report["cut.wav"]
    assert all("is not a file, but a folder, a pipe or a device" in report[name] for name in special)
    assert report["gone.wav"] == "is missing"
    assert report["short.wav"] == "not longer than 0.05 s: 0.01 s"
    assert "left out 9 of 12 train clips, such as " in capsys.readouterr().out


def test_a_split_without_one_good_clip(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"")
    paths = [tmp_path / "a.wav", tmp_path / "gone.wav"]
    with pytest.raises(
        DataError, match="none of the 2 train clips can be used.*a.wav.*check that the audio is complete"
    ) as e:
        prepare(make_source(paths), RATE, tmp_path / "out")
    assert "\n" not in str(e.value)


def test_source_rates(tmp_path):
    """Of the clips that can be used."""
    paths = [write_tone(tmp_path / f"{rate}.wav", rate=rate) for rate in (44100, 8000, 16000)]
    (tmp_path / "text.wav").write_text("no audio")
    paths += [write_tone(tmp_path / "again.wav", rate=8000), write_tone(tmp_path / "short.wav", 0.01, rate=48000)]
    source = make_source([*paths, tmp_path / "text.wav"], min_seconds=0.05)
    clips = prepare(source, RATE, tmp_path / "out", quiet=True)
    assert {split: found.source_rates for split, found in clips.items()} == {
        "train": [8000, 16000, 44100],
        "validation": [44100],
    }


def test_files_that_pyav_reads(tmp_path):
    av = pytest.importorskip("av", reason="needs the extra av: pip install av")
    path = tmp_path / "a.webm"
    with av.open(path, "w", format="webm") as output:
        track = output.add_stream("libopus", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.float32), format="flt", layout="mono")
        frame.sample_rate = 48000
        for packet in (*track.encode(frame), *track.encode(None)):
            output.mux(packet)
    clips = prepare(make_source([path]), RATE, tmp_path / "out", quiet=True)["train"]
    assert len(clips) == 1 and clips.source_rates == [48000]


def test_a_file_without_permission(tmp_path, monkeypatch):
    def content(clip):
        raise PermissionError(13, "Permission denied")

    path = write_tone(tmp_path / "a.wav")
    monkeypatch.setattr(Clip, "content", content)
    with pytest.raises(DataError, match="cannot read .*a.wav: Permission denied"):
        prepare(make_source([path]), RATE, tmp_path / "out", quiet=True)


def test_one_split_alone(tmp_path, decoded):
    paths = [write_tone(tmp_path / f"{i}.wav") for i in range(3)]
    source = make_source(paths, background_noise=(tmp_path / "gone.wav",))
    assert list(prepare(source, RATE, tmp_path / "out", ["train"])) == ["train"]
    decoded.clear()
    assert list(prepare(source, RATE, tmp_path / "out", ["validation"])) == ["validation"]
    prepare(source, RATE, tmp_path / "out", ["train"])
    assert decoded == ["0.wav"]


def test_background_noise_is_kept_apart(tmp_path):
    noise = write_tone(tmp_path / "noise.wav", 0.3)
    source = make_source([write_tone(tmp_path / "a.wav", 1)], min_seconds=0.5, background_noise=(noise,))
    clips = prepare(source, RATE, tmp_path / "out")
    assert clips["background_noise"].num_samples.tolist() == [6615]


def test_folder_of_a_dataset(tmp_path, monkeypatch):
    def folder(data_dir, rate=RATE, **changes):
        return prepared_folder(replace(make_source([Path("a.wav")], data_dir=data_dir), **changes), rate, tmp_path)

    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    mine = folder("x")
    assert mine.parent == tmp_path
    assert len({mine, folder("y"), folder("x", 16000), folder("x", name="hub")}) == 4
    on_the_hub = folder("org/name")
    monkeypatch.chdir(tmp_path / "x")
    assert folder("../x") == folder(tmp_path / "x") == mine
    assert folder("org/name") == on_the_hub
    assert "samplecnn" in prepared_folder(make_source([Path("a.wav")]), RATE).parts


def start_slowly(folder: Path, out: Path):
    """A process that prepares the files in `folder`, slow enough to be killed on the way."""

    def run():
        decode = prepared.decode
        prepared.decode = lambda *arguments: (time.sleep(0.02), decode(*arguments))[1]
        prepare(make_source(sorted(folder.glob("*.wav"))), RATE, out)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    return process


def test_killed_process_is_resumed(tmp_path, small_shards, decoded):
    paths = [write_tone(tmp_path / "audio" / f"{i:02}.wav", 0.01 * (i + 1)) for i in range(40)]
    process = start_slowly(tmp_path / "audio", tmp_path / "killed")
    while len(contents(tmp_path / "killed")) < 2:
        assert process.is_alive()
        time.sleep(0.01)
    process.kill()
    process.join()
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "killed").glob("*/train-*.arrow")}
    assert 2 <= len(finished) < 10
    for name in ("killed", "at_once"):
        assert len(prepare(make_source(paths), RATE, tmp_path / name)["train"]) == 40
    assert contents(tmp_path / "killed") == contents(tmp_path / "at_once")
    assert {path: path.stat().st_mtime_ns for path in finished} == finished  # not decoded again
    assert not list((tmp_path / "killed").rglob("*.unfinished"))


def test_two_processes_at_once(tmp_path, small_shards):
    for i in range(12):
        write_tone(tmp_path / "audio" / f"{i}.wav")
    processes = [start_slowly(tmp_path / "audio", tmp_path / "out") for _ in range(2)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0] and len(contents(tmp_path / "out")) == 4
