"""A dataset that a tiny network learns in seconds: tones of three pitches."""

import csv

import numpy as np
import pytest
import soundfile
from accelerate.state import AcceleratorState

from training.data.source import SYNTHETIC_MARK

PITCHES = {"high": 3000.0, "low": 300.0, "middle": 1000.0}
CLIPS = {"train": 12, "validation": 4, "test": 4}  # of each pitch


@pytest.fixture(autouse=True)
def fresh_accelerator():
    """Accelerate keeps one state a process, as a script would; each test is a script of its own."""
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def tones(tmp_path):
    """A folder with train.csv, validation.csv and test.csv; two clips in each split are longer than a segment."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "tones"
    for split, count in CLIPS.items():
        rows = []
        for name, pitch in PITCHES.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                time = np.arange(4000 if i < 2 else 1500) / 22050
                tone = 0.3 * np.sin(2 * np.pi * (pitch * time + rng.random())) + 0.01 * rng.standard_normal(len(time))
                file = f"{name}/{split}{i}.wav"
                soundfile.write(folder / file, tone, 22050)
                rows.append({"file": file, "class": name})
        with (folder / f"{split}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, ["file", "class"])
            writer.writeheader()
            writer.writerows(rows)
    return folder


@pytest.fixture
def folds(tones):
    """The tones as class folders, dealt to three folds."""
    for path in tones.glob("*.csv"):
        path.unlink()
    for folder in tones.iterdir():
        for i, path in enumerate(sorted(folder.iterdir())):
            path.rename(path.with_name(f"{i % 3 + 1}-{path.name}"))
    return tones


@pytest.fixture
def write_chords(tones):
    """Writes a small MagnaTagATune: the tones alone or together, a tag for each pitch that is heard."""

    def write(folder):
        names = list(PITCHES)
        rows = []
        for i, split_folder in enumerate("0123456789ab" * 4 + "cccccccc" + "ddddeeee"):
            heard = [name for j, name in enumerate(names) if i % 8 >> j & 1]
            sounds = [soundfile.read(tones / name / "train3.wav")[0] for name in heard] or [np.zeros(1500)]
            file = f"{split_folder}/clip{i}.wav"
            (folder / "mp3" / split_folder).mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / "mp3" / file, sum(sounds), 22050)
            rows.append([1000 + i, *(int(name in heard) for name in names), file])
        with (folder / "annotations_final.csv").open("w", newline="") as file:
            csv.writer(file, delimiter="\t").writerows([["clip_id", *names, "mp3_path"], *rows])
        (folder / SYNTHETIC_MARK).touch()
        return folder

    return write


@pytest.fixture
def tiny_run(tones, tmp_path):
    """Command-line options of a run on the tones with a tiny network, writing to tmp_path/run."""
    return [
        "--source=folder",
        f"--data_dir={tones}",
        f"--output_dir={tmp_path / 'run'}",
        f"--cache_dir={tmp_path / 'cache'}",
        "--variant=test-se",
        "--batch_size=8",
        "--num_epochs=3",
        "--optimizer=adamw",
        "--learning_rate=0.01",
        "--schedule=cosine",
        "--dropout=0.2",
        "--average_decay=0.9",
        "--crop=random",
        "--mixup=0.2",
        "--noise=0.5",
        "--gain=3",
    ]
