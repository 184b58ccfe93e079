import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from transformers import pipeline

SCRIPT = Path(__file__).parents[2] / "examples" / "finetune.py"
PITCHES = {"high": 3000.0, "low": 300.0, "middle": 1000.0}


def finetune(*arguments) -> subprocess.CompletedProcess:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, env=environment)


@pytest.mark.slow
def test_a_folder_of_sounds_becomes_a_classifier(tmp_path, tiny_model, tiny_extractor, make_tone):
    """The README's words: a trained network, a folder with a subfolder a class, a folder to load afterwards."""
    tiny_model.save_pretrained(tmp_path / "pretrained")
    tiny_extractor.save_pretrained(tmp_path / "pretrained")
    for name, pitch in PITCHES.items():
        (tmp_path / "sounds" / name).mkdir(parents=True)
        for i in range(100):
            tone = make_tone(pitch, seconds=0.1 if i % 9 else 0.2)
            soundfile.write(tmp_path / "sounds" / name / f"{i}.wav", tone, 22050)

    run = finetune(tmp_path / "pretrained", tmp_path / "sounds", tmp_path / "mine")
    assert run.returncode == 0, run.stderr
    assert float(re.findall(r"eval_accuracy'?: '?([\d.]+)", run.stdout)[-1]) > 0.6  # chance is 1/3
    classifier = pipeline("audio-classification", model=str(tmp_path / "mine"), trust_remote_code=True)
    answers = classifier(str(tmp_path / "sounds" / "low" / "0.wav"))
    assert {answer["label"] for answer in answers} == set(PITCHES)


@pytest.mark.slow
def test_a_folder_without_classes_is_refused_in_one_line(tmp_path):
    run = finetune(tmp_path, tmp_path, tmp_path / "mine")
    assert run.returncode == 1 and len(run.stderr.splitlines()) == 1 and "two subfolders" in run.stderr
    assert not (tmp_path / "mine").exists()
