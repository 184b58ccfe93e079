import json
import sys
from pathlib import Path

import pytest
import soundfile

from examples import finetune
from samplecnn_hf import SampleCNNAudioClassificationPipeline
from samplecnn_hf.publish import check_model_folder

NOTEBOOK = Path(finetune.__file__).with_suffix(".ipynb")
PITCHES = {"high": 3000.0, "low": 300.0, "middle": 1000.0}


@pytest.fixture
def write_tones(make_tone):
    def write(folder: Path, count: int):
        for name, pitch in PITCHES.items():
            (folder / name).mkdir(parents=True)
            for i in range(count):
                tone = make_tone(pitch, seconds=0.1 if i % 9 else 0.2)
                soundfile.write(folder / name / f"{i}.wav", tone, 22050)

    return write


@pytest.fixture
def run(monkeypatch, capsys):
    """run(pretrained, sounds, output): the scores that the script prints, and everything else that it printed."""

    def run(*arguments) -> tuple[dict, str]:
        monkeypatch.setattr(sys, "argv", ["finetune.py", *map(str, arguments)])
        finetune.main()
        printed = capsys.readouterr().out
        return json.loads(printed.splitlines()[-1]), printed

    return run


@pytest.mark.slow
def test_a_folder_of_sounds_becomes_a_classifier_that_push_accepts(tmp_path, pretrained, write_tones, run):
    sounds, mine = tmp_path / "sounds", tmp_path / "mine"
    for split, count in {"train": 40, "validation": 8, "test": 4}.items():
        write_tones(sounds / split, count)
    scores, _ = run(pretrained, sounds, mine)
    assert set(scores) == {"output", "validation", "test"}
    assert scores["validation"] > 0.6  # chance is 1/3
    classifier = SampleCNNAudioClassificationPipeline.from_pretrained(mine)
    assert {answer["label"] for answer in classifier(str(sounds / "train" / "low" / "0.wav"))} == set(PITCHES)
    assert "model.safetensors" in check_model_folder(mine)

    with pytest.raises(SystemExit, match="exists"):
        run(pretrained, sounds, mine)


def test_class_folders_are_split(tmp_path, write_tones):
    write_tones(tmp_path / "sounds", 10)
    splits = finetune.list_splits(tmp_path / "sounds")
    assert {split: len(files) for split, files in splits.items()} == {"train": 24, "validation": 6}
    assert {path.parent.name for path in splits["validation"]} == set(PITCHES)


def test_checkpoints_of_another_run_are_refused(tmp_path, pretrained, write_tones, run):
    write_tones(tmp_path / "sounds", 10)
    (tmp_path / "mine.checkpoints" / "checkpoint-1").mkdir(parents=True)
    with pytest.raises(SystemExit, match="another run"):
        run(pretrained, tmp_path / "sounds", tmp_path / "mine")


def test_a_run_that_failed_early_leaves_nothing_in_the_way(tmp_path, pretrained, write_tones, run, monkeypatch):
    monkeypatch.setattr(finetune, "NUM_EPOCHS", 1)
    write_tones(tmp_path / "sounds", 40)
    with pytest.raises(OSError):
        run(tmp_path / "nowhere", tmp_path / "sounds", tmp_path / "mine")
    assert run(pretrained, tmp_path / "sounds", tmp_path / "mine")[0]["output"].endswith("mine")


def test_a_class_without_training_files_is_refused(tmp_path, pretrained, write_tones, run):
    write_tones(tmp_path / "sounds" / "train", 10)
    write_tones(tmp_path / "sounds" / "validation", 2)
    (tmp_path / "sounds" / "validation" / "low").rename(tmp_path / "sounds" / "validation" / "deep")
    with pytest.raises(SystemExit, match="'deep'"):
        run(pretrained, tmp_path / "sounds", tmp_path / "mine")


def test_a_folder_without_classes_is_refused(tmp_path, run):
    with pytest.raises(SystemExit, match="two classes"):
        run(tmp_path, tmp_path, tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


@pytest.mark.slow
def test_it_resumes_from_its_checkpoints(tmp_path, pretrained, write_tones, run, monkeypatch):
    monkeypatch.setattr(finetune, "NUM_EPOCHS", 2)
    write_tones(tmp_path / "sounds", 10)
    first, printed_first = run(pretrained, tmp_path / "sounds", tmp_path / "first")
    (tmp_path / "first.checkpoints").rename(tmp_path / "second.checkpoints")
    second, printed_second = run(pretrained, tmp_path / "sounds", tmp_path / "second")
    assert "'epoch': '1'" in printed_first and "'epoch': '1'" not in printed_second  # nothing is trained twice
    assert first["validation"] == second["validation"]


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, pretrained, write_tones, monkeypatch):
    notebook = json.loads(NOTEBOOK.read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code")
    settings = f"PRETRAINED, SOUNDS, OUTPUT, NUM_EPOCHS = {str(pretrained)!r}, 'sounds', 'mine', 2"
    write_tones(tmp_path / "sounds" / "train", 10)
    write_tones(tmp_path / "sounds" / "validation", 2)
    monkeypatch.chdir(tmp_path)
    names = {}
    for cell in [settings, *cells[1:]]:
        exec(cell, names)
    assert names["labels"] == sorted(PITCHES)
    assert len(names["classifier"](str(tmp_path / "sounds" / "train" / "low" / "0.wav"))) == len(PITCHES)
