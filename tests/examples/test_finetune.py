import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from transformers import pipeline

from samplecnn_hf.publish import check_model_folder

SCRIPT = Path(__file__).parents[2] / "examples" / "finetune.py"
PITCHES = {"high": 3000.0, "low": 300.0, "middle": 1000.0}


def finetune(*arguments) -> subprocess.CompletedProcess:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, env=environment)


@pytest.fixture
def write_tones(make_tone):
    def write(folder: Path, count: int):
        for name, pitch in PITCHES.items():
            (folder / name).mkdir(parents=True)
            for i in range(count):
                tone = make_tone(pitch, seconds=0.1 if i % 9 else 0.2)
                soundfile.write(folder / name / f"{i}.wav", tone, 22050)

    return write


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["classes", "splits"])
def test_a_folder_of_sounds_becomes_a_classifier_that_push_accepts(tmp_path, pretrained, write_tones, layout):
    sounds, mine = tmp_path / "sounds", tmp_path / "mine"
    splits = {"train": 80, "validation": 20, "test": 10} if layout == "splits" else {"": 100}
    for split, count in splits.items():
        write_tones(sounds / split, count)

    run = finetune(pretrained, sounds, mine)
    assert run.returncode == 0, run.stderr
    scores = json.loads(run.stdout.splitlines()[-1])
    assert set(scores) == {"output", "validation"} | ({"test"} if layout == "splits" else set())
    assert scores["validation"] > 0.6  # chance is 1/3
    classifier = pipeline("audio-classification", model=str(mine), trust_remote_code=True)
    answers = classifier(str(next(sounds.rglob("low/0.wav"))))
    assert {answer["label"] for answer in answers} == set(PITCHES)
    assert "model.safetensors" in check_model_folder(mine)

    again = finetune(pretrained, sounds, mine)
    assert again.returncode == 1 and "exists" in again.stderr


@pytest.mark.slow
def test_checkpoints_of_another_run_are_refused(tmp_path, pretrained, write_tones):
    write_tones(tmp_path / "sounds", 10)
    (tmp_path / "mine.checkpoints" / "checkpoint-1").mkdir(parents=True)
    run = finetune(pretrained, tmp_path / "sounds", tmp_path / "mine")
    assert run.returncode == 1 and len(run.stderr.splitlines()) == 1 and "another run" in run.stderr


@pytest.mark.slow
def test_a_class_that_is_never_trained_is_refused(tmp_path, pretrained, write_tones):
    write_tones(tmp_path / "sounds" / "train", 10)
    write_tones(tmp_path / "sounds" / "validation", 2)
    (tmp_path / "sounds" / "validation" / "low").rename(tmp_path / "sounds" / "validation" / "deep")
    run = finetune(pretrained, tmp_path / "sounds", tmp_path / "mine")
    assert run.returncode == 1 and len(run.stderr.splitlines()) == 1 and "'deep'" in run.stderr


@pytest.mark.slow
def test_it_resumes_from_its_checkpoints(tmp_path, pretrained, write_tones):
    write_tones(tmp_path / "sounds", 30)
    first = finetune(pretrained, tmp_path / "sounds", tmp_path / "first")
    (tmp_path / "first.checkpoints").rename(tmp_path / "second.checkpoints")
    second = finetune(pretrained, tmp_path / "sounds", tmp_path / "second")
    assert first.returncode == second.returncode == 0, second.stderr
    assert "'epoch': '1'" in first.stdout and "'epoch': '1'" not in second.stdout  # nothing is trained twice
    last = [json.loads(run.stdout.splitlines()[-1])["validation"] for run in (first, second)]
    assert last[0] == last[1]


@pytest.mark.slow
def test_a_folder_without_classes_is_refused_in_one_line(tmp_path):
    run = finetune(tmp_path, tmp_path, tmp_path / "mine")
    assert run.returncode == 1 and len(run.stderr.splitlines()) == 1 and "two classes" in run.stderr
    assert not (tmp_path / "mine").exists()
