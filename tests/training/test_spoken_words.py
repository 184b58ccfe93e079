import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from transformers import pipeline

from training import release, spoken_words
from training.data.source import SYNTHETIC_MARK
from training.spoken_words import main

RATE = 4000  # Hz
TONES = {"_silence_": 0.0, "_unknown_": 300.0, "go": 700.0, "stop": 1500.0}  # Hz
NETWORK = ["--variant=test-se", "--model_kwargs", f"sampling_rate={RATE}", "--num_epochs=2", "--average_decay=0"]


def write_clip(path, frequency, seconds=0.4):
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * RATE)) / RATE
    noise = 0.01 * np.random.default_rng(len(path.name)).standard_normal(len(time))
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * frequency * time) + noise, RATE)


@pytest.fixture
def recordings(tmp_path):
    for name, frequency in {"go": 700, "bed": 300, "_background_noise_": 0}.items():
        for i in range(2):
            write_clip(tmp_path / "people" / name / f"{i}.wav", frequency)
    return tmp_path / "people"


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Options of a run on tones in place of voices; the data are written as soon as they are needed."""

    def write_tones(folder, **options):
        write_tones.options = options
        for name, frequency in TONES.items():
            for i in range(8):
                write_clip(folder / name / f"{i}_nohash_0.wav", frequency)
        for i, list_name in enumerate(("validation_list.txt", "testing_list.txt")):
            (folder / list_name).write_text("".join(f"{name}/{i}_nohash_0.wav\n" for name in TONES))
        (folder / SYNTHETIC_MARK).touch()

    monkeypatch.setattr(spoken_words, "ensure_spoken_words", write_tones)
    folders = [f"--{name}_dir={tmp_path / name}" for name in ("data", "cache")]
    options = ["--words=Stop, go", f"--output_dir={tmp_path / 'run'}", *folders, *NETWORK, "--batch_size=8"]
    return options + ["--threads=1", "--mixed_precision=no"], write_tones


def test_folder_of_a_word_spotter(command, recordings, tmp_path):
    options, write = command
    write_clip(tmp_path / "office" / "monday.wav", 100, seconds=3)
    main([*options, f"--recordings={recordings}", f"--background={tmp_path / 'office'}", "--num_voices=40"])
    assert write.options["words"] == ("stop", "go") and write.options["num_voices"] == 40

    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["labels"] == list(TONES)
    assert results["clips"] == {"train": 24, "validation": 4, "test": 4, "recordings": 6, "background": 1}
    assert set(results["metrics"]) == set(results["detection"]["splits"]) == {"validation", "test", "recordings"}
    assert results["detection"]["splits"]["recordings"]["keyword_clips"] == 2
    assert str(tmp_path) not in (tmp_path / "run" / "results.json").read_text()

    config = json.loads((tmp_path / "run" / "config.json").read_text())
    threshold = results["detection"]["threshold"]
    assert config["thresholds"] == [1, 1, threshold, threshold]
    assert (tmp_path / "run" / "det_curve.png").read_bytes().startswith(b"\x89PNG")

    card = (tmp_path / "run" / "README.md").read_text()
    for text in (
        "## Spotting words in a stream",
        "### Recorded speech",
        "![DET curve](det_curve.png)",
        "| background | 1 |",
    ):
        assert text in card
    assert "language: en" in card and "\n\n\n" not in card and str(tmp_path) not in card

    spotter = pipeline("audio-classification", model=str(tmp_path / "run"), trust_remote_code=True)
    found = spotter(str(recordings / "go" / "0.wav"), threshold="tuned")
    assert all(item["score"] >= threshold and item["label"] in ("go", "stop") for item in found)


def test_card_without_recordings_says_so(command, tmp_path):
    main(command[0])
    card = (tmp_path / "run" / "README.md").read_text()
    assert "It has not been evaluated on words said by people." in card and "### Recorded speech" not in card


def test_a_finished_run_is_not_repeated(command, capsys):
    main([*command[0], "--num_epochs=1"])
    main([*command[0], "--num_epochs=1", "--resume"])
    assert "is finished already" in capsys.readouterr().out


@pytest.mark.parametrize(
    "changes, message",
    [
        (["--recordings=nowhere"], "nowhere is not a folder"),
        (["--background=nowhere"], "nowhere is not a folder"),
        (["--hours=0"], "--hours must be above 0"),
        (["--word=go"], "unknown option --word=go; did you mean --words"),
        (["--model_kwargs", "sampling_rate=96000"], "spotting words needs segments of at least 0.25 s"),
    ],
)
def test_errors_are_one_line(command, tmp_path, changes, message):
    with pytest.raises(SystemExit, match=f"^error: .*{message}[^\n]*$"):
        main([*command[0], *changes])
    assert not (tmp_path / "run").exists()


def test_words_are_required(tmp_path):
    with pytest.raises(SystemExit, match="^error: --words is missing: for example --words 'marvin, stop'$"):
        main([f"--output_dir={tmp_path / 'run'}"])


def test_data_are_named_after_the_output(tmp_path):
    recipe = spoken_words.SpokenWordsRecipe.load(spoken_words.RECIPE, words="go", output_dir="runs/mine")
    assert (recipe.data_dir, recipe.language, recipe.synthetic) == ("data/spoken_words/mine", "en", False)


def test_the_network_to_start_from(tmp_path):
    def pretrained(path=spoken_words.RECIPE, **changes):
        recipe = spoken_words.SpokenWordsRecipe.load(path, words="go", output_dir="runs/mine", **changes)
        return recipe.pretrained and Path(recipe.pretrained).name

    assert pretrained() == "samplecnn-arabic-speech-commands"
    assert pretrained(pretrained="runs/other") == "other"
    assert pretrained(variant="se-8") is None
    (tmp_path / "mine.yaml").write_text("source: speech_commands\npretrained: runs/mine\n")
    assert pretrained(tmp_path / "mine.yaml") == "mine"
    (tmp_path / "mine.yaml").write_text("source: speech_commands\nvariant: res2-8\n")
    assert pretrained(tmp_path / "mine.yaml") is None
    assert pretrained(os.path.relpath(spoken_words.RECIPE)) == "samplecnn-arabic-speech-commands"


@pytest.mark.slow
def test_further_recordings_are_trained_but_not_kept(command, recordings, tmp_path, capsys):
    options, _ = command
    for split in ("train", "validation"):
        for name, frequency in {"ping": 1000, "pong": 400}.items():
            for i in range(3):
                write_clip(tmp_path / "other" / split / name / f"{i}.wav", frequency)
    main([*options, f"--recordings={recordings}", f"--further={tmp_path / 'other'}"])
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["labels"] == list(TONES) and results["clips"]["train"] == 24
    assert len(results["per_label"]["recordings"]) == len(TONES)
    spotter = pipeline("audio-classification", model=str(tmp_path / "run"), trust_remote_code=True)
    answers = spotter(str(tmp_path / "people" / "go" / "0.wav"), top_k=None)
    assert {answer["label"] for answer in answers} == set(TONES)
    card = " ".join((tmp_path / "run" / "README.md").read_text().split())
    assert "other was used for auxiliary classes during training; the model does not predict them." in card
    assert "it was trained on generated sounds and on other." in card and "not on recordings" not in card
    folders = {"data_dir": str(tmp_path / "data"), "recordings": str(recordings)}
    assert all(row["card"] == row["now"] for row in release.check(tmp_path / "run", **folders))

    main([*options, f"--recordings={recordings}", f"--further={tmp_path / 'other'}", "--resume"])
    assert "is finished already" in capsys.readouterr().out
