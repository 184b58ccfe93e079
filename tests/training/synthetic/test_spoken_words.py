import json
import sys

import numpy as np
import pytest
import soundfile

from training.data import load_source
from training.data.sources.speech_commands import assign_split
from training.errors import DataError
from training.synthetic import spoken_words
from training.synthetic.speech import without_homophones, write_spoken_commands
from training.synthetic.spoken_words import (
    PIECE_SAMPLES,
    SOUNDS,
    TALK,
    TRAINING_CLIP_SAMPLES,
    ensure_spoken_words,
    read_unknown_words,
    split_words,
    write_spoken_words,
)

pytest.importorskip("espeakng_loader")

OPTIONS = {
    "words": ("stop", "bonjour"),
    "language": "en",
    "num_voices": 16,
    "num_vocoded": 0,
    "takes": 1,
    "hours": 0.01,
    "unknown_words": None,
    "seed": 0,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spoken") / "words"
    write_spoken_words(folder, **OPTIONS, num_workers=1)
    return folder


@pytest.mark.slow
def test_reads_back_through_the_loader(folder):
    source = load_source("speech_commands", folder)
    assert source.synthetic and source.labels == ["_silence_", "_unknown_", "bonjour", "stop"]
    counts = {split: [0] * 4 for split in source.splits}
    for split, clips in source.splits.items():
        for clip in clips:
            counts[split][clip.labels[0]] += 1
    assert counts["train"][2:] == [len(source.splits["train"]) and counts["train"][2]] * 2
    assert sum(row[2] for row in counts.values()) == 16
    assert all(min(row) > 0 for row in counts.values())


@pytest.mark.slow
def test_talk_and_sounds_of_every_split(folder):
    source = load_source("speech_commands", folder)
    for split, clips in source.splits.items():
        pieces = [clip for clip in clips if clip.path.name.startswith(split)]
        assert {source.labels[clip.labels[0]] for clip in pieces} == {"_silence_", "_unknown_"}
        peaks = {}
        for clip in pieces:
            sound, rate = soundfile.read(clip.path)
            assert (rate, len(sound)) == (16_000, TRAINING_CLIP_SAMPLES if split == "train" else PIECE_SAMPLES)
            piece = clip.path.stem.split("-")[1]  # several clips in training
            peaks.setdefault((clip.labels[0], piece), []).append(np.abs(sound).max())
        assert all(0.009 < max(clips) < 0.71 for clips in peaks.values())


@pytest.mark.slow
def test_training_has_about_as_much_talk_and_sounds_as_other_words(folder):
    source = load_source("speech_commands", folder)
    other = [clip for clip in source.splits["train"] if source.labels[clip.labels[0]] in ("_silence_", "_unknown_")]
    pieces = [clip for clip in other if clip.path.name.startswith("train")]
    assert 0.5 < len(pieces) / (len(other) - len(pieces)) < 1.5


@pytest.mark.slow
def test_existing_data_are_used_again_with_the_same_options_only(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.wav")}
    ensure_spoken_words(folder, **OPTIONS)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.wav")} == before
    assert json.loads((folder / "options.json").read_text())["words"] == ["stop", "bonjour"]
    with pytest.raises(DataError, match="was made with other words: delete it, or give another --data_dir"):
        ensure_spoken_words(folder, **{**OPTIONS, "words": ("stop",)})


@pytest.mark.slow
def test_a_voice_says_other_words_of_its_split(tmp_path):
    others = read_unknown_words(None, "en")
    write_spoken_commands(tmp_path / "words", ("go",), 16, num_workers=1, unknown_words=others)
    files = sorted((tmp_path / "words" / "_unknown_").iterdir())
    assert len(files) == 16 * 12
    listed = (tmp_path / "words" / "testing_list.txt").read_text().split()
    assert {f"_unknown_/{path.name}" for path in files if assign_split(path.name) == "test"} < set(listed)


@pytest.mark.slow
def test_another_language(tmp_path):
    words = tmp_path / "mots.txt"
    words.write_text("maison chat rue eau " + " ".join(read_unknown_words(None, "en")))
    write_spoken_commands(
        tmp_path / "words",
        ("été",),
        16,
        num_workers=1,
        language="fr",
        unknown_words=read_unknown_words(str(words), "fr"),
    )
    assert len(list((tmp_path / "words" / "été").iterdir())) == 16


def test_homophones_are_left_out():
    assert without_homophones(["right", "write", "garden", "two"], ["write", "too"], "en") == ["garden"]


@pytest.mark.parametrize("language", ["en", "fr"])
def test_frequent_words(language):
    words = read_unknown_words(None, language)
    assert len(words) == len(set(words)) > 3000 and all(word.isalpha() and word.islower() for word in words)


def test_split_words():
    assert split_words("Marvin, stop ,bonjour,") == ("marvin", "stop", "bonjour")


@pytest.mark.parametrize("draw", SOUNDS)
def test_sounds_are_audible(draw):
    sound = draw(np.random.default_rng(0))
    assert len(sound) == PIECE_SAMPLES and np.isfinite(sound).all() and np.std(sound) > 0


@pytest.mark.parametrize("draw", TALK)
def test_talk_is_made_of_the_words_of_the_voices(draw, tmp_path):
    time = np.arange(16_000) / 16_000
    word = np.where(np.abs(time - 0.5) < 0.2, np.sin(2 * np.pi * 440 * time), 0)
    soundfile.write(tmp_path / "word.wav", word, 16_000)
    talk = draw([[tmp_path / "word.wav"]], np.random.default_rng(0))
    spectrum = np.abs(np.fft.rfft(talk))
    assert len(talk) == PIECE_SAMPLES and np.argmax(spectrum) == pytest.approx(440 * 30, abs=100)
    assert 0.5 < np.mean(np.abs(talk) > 1e-3) < 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"hours": 0}, "hours must be above 0"),
        ({"num_workers": 0}, "num_workers must be at least 1"),
        ({"language": "xx"}, "wordfreq has no words of 'xx'"),
        ({"unknown_words": "nowhere.txt"}, "nowhere.txt is not a file"),
        ({"words": ("go", "")}, "words must be"),
    ],
)
def test_faulty_arguments(tmp_path, arguments, message):
    with pytest.raises(DataError, match=message):
        write_spoken_words(tmp_path / "words", **{"words": ("go",), **arguments})
    assert not list(tmp_path.iterdir())


def test_other_words_that_were_edited(tmp_path, monkeypatch):
    monkeypatch.setattr(spoken_words, "write_spoken_commands", lambda folder, *_: folder.mkdir())
    monkeypatch.setattr(spoken_words, "_plan_pieces", lambda *_: [])
    file, others = tmp_path / "other.txt", " ".join(read_unknown_words(None, "en")[:200])
    file.write_text(others)
    options = {**OPTIONS, "unknown_words": str(file)}
    ensure_spoken_words(tmp_path / "words", **options)
    ensure_spoken_words(tmp_path / "words", **options)
    file.write_text(others + " zyzzyva")
    with pytest.raises(DataError, match="was made with other unknown_words:"):
        ensure_spoken_words(tmp_path / "words", **options)


def test_language_without_a_voice(tmp_path):
    with pytest.raises(DataError, match="espeak-ng does not speak 'xx': choose one of"):
        write_spoken_commands(tmp_path / "words", ("go",), language="xx")


def test_few_other_words(tmp_path):
    (tmp_path / "few.txt").write_text("garden river")
    with pytest.raises(DataError, match="2 other words are too few"):
        read_unknown_words(str(tmp_path / "few.txt"), "en")


def test_words_without_a_file_need_wordfreq(monkeypatch):
    monkeypatch.setitem(sys.modules, "wordfreq", None)
    with pytest.raises(DataError, match="wordfreq is missing: pip install wordfreq, or give --unknown_words FILE"):
        read_unknown_words(None, "en")
