"""Hundreds of damaged model folders: each is loaded, or refused in one line by an exception that is documented."""

import json
import os
import pickle
import random
import shutil
from pathlib import Path

import pytest

from samplecnn_hf import SampleCNNFeatureExtractor, SampleCNNForAudioClassification, model_folder
from samplecnn_hf.file_formats import FORMATS
from samplecnn_hf.loading import LOADING_ERRORS, load_classifier
from samplecnn_hf.model_folder import PublishError, check_model_folder

CONFIGS = ("config.json", "preprocessor_config.json")
WRONG_VALUES = (None, True, -1, 0, 3.5, 1e30, float("nan"), "x", "", [], [1], [[]], {}, {"a": 1}, {"0": None}, "é\n\0")
# Fields that transformers itself reads, whether or not they are in the file.
FOREIGN_FIELDS = (
    "dtype",
    "num_labels",
    "quantization_config",
    "attn_implementation",
    "transformers_weights",
    "per_layer_config",
    "base_model_tp_plan",
    "feature_extractor_type",
    "processor_class",
)
Exploit = type("Exploit", (), {"__reduce__": lambda self: (print, ("code ran",))})


def change_field(folder: Path, rng: random.Random):
    path = folder / rng.choice(CONFIGS)
    config = json.loads(path.read_text())
    config[rng.choice([*config, *FOREIGN_FIELDS])] = rng.choice(WRONG_VALUES)
    path.write_text(json.dumps(config))


def flip_bytes(folder: Path, rng: random.Random):
    path = pick(folder, rng)
    content = bytearray(path.read_bytes())
    start = rng.choice((0, rng.randrange(len(content))))  # headers more often than their share
    for _ in range(rng.choice((1, 4, 200))):
        content[min(start + rng.randrange(200), len(content) - 1)] = rng.randrange(256)
    path.write_bytes(content)


def cut_off(folder: Path, rng: random.Random):
    path = pick(folder, rng)
    os.truncate(path, rng.choice((0, 1, 8, rng.randrange(path.stat().st_size))))


def insert(folder: Path, rng: random.Random):
    path = pick(folder, rng)
    content = path.read_bytes()
    place = rng.choice((0, len(content), rng.randrange(len(content))))
    more = rng.choice((b"\xff\xfe", b"\0" * 100, b"[" * 100_000, b'{"a":' * 5000, b"\n---\n", pickle.dumps(Exploit())))
    path.write_bytes(content[:place] + more + content[place:])


def replace(folder: Path, rng: random.Random):
    path = pick(folder, rng)
    path.unlink()
    rng.choice(REPLACEMENTS)(path)


def add(folder: Path, rng: random.Random):
    suffix = rng.choice((*FORMATS, ".bin", ".pt", ""))
    name = rng.choice((f"more{suffix}", f"a\nb{suffix}", f"caf\udce9{suffix}", f"onnx/model{suffix}"))
    (folder / "onnx").mkdir()
    rng.choice(REPLACEMENTS)(folder / name)


REPLACEMENTS = (
    lambda path: None,
    lambda path: path.mkdir(),
    lambda path: os.mkfifo(path),
    lambda path: path.symlink_to("/etc/passwd"),
    lambda path: path.symlink_to("nowhere"),
    lambda path: path.symlink_to(path.name),  # to itself
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(pickle.dumps(Exploit(), protocol=0)),
    lambda path: path.write_bytes(pickle.dumps(Exploit(), protocol=5)),
    lambda path: path.write_text("[]"),
    lambda path: path.write_text("null"),
    lambda path: path.write_text("{}"),
)


def pick(folder: Path, rng: random.Random) -> Path:
    """A file: the weights and the configurations more often than the card and the code."""
    rest = sorted(path for path in folder.iterdir() if path.suffix in (".py", ".md"))
    return rng.choice([folder / name for name in ("model.safetensors", *CONFIGS)] * 4 + rest)


# By `check_model_folder`, whose loading check is left out here, and by `load_classifier`.
LEAST_REFUSED = {
    change_field: (3, 25),
    flip_bytes: (45, 25),
    cut_off: (30, 28),
    insert: (40, 28),
    replace: (50, 28),
    add: (40, 0),
}
FOLDERS = 60  # of each


def refused(function, folder: Path, errors, one_line: bool = True) -> bool:
    """Does a function raise one of the errors for a folder? Every other one fails the test."""
    try:
        function(folder)
    except errors as error:
        assert not one_line or len(str(error).splitlines()) == 1, repr(error)
        return True
    return False


def all_paths(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


@pytest.mark.parametrize("tamper", LEAST_REFUSED)
def test_tampered_folders(publishable, tmp_path, monkeypatch, capfd, tamper):
    monkeypatch.setattr(model_folder, "_check_loading", lambda folder, labels: None)  # in processes of their own
    by_push = by_export = 0
    for seed in range(FOLDERS):
        folder = tmp_path / f"{tamper.__name__}-{seed}"  # what a failure names
        shutil.copytree(publishable, folder)
        tamper(folder, random.Random(seed))
        before = all_paths(folder)
        by_push += refused(check_model_folder, folder, (PublishError, OSError))
        by_export += refused(load_classifier, folder, OSError)
        for parts in (SampleCNNForAudioClassification, SampleCNNFeatureExtractor):
            refused(parts.from_pretrained, folder, LOADING_ERRORS, one_line=False)
        assert all_paths(folder) == before
        shutil.rmtree(folder)
    assert by_push >= LEAST_REFUSED[tamper][0] and by_export >= LEAST_REFUSED[tamper][1], (by_push, by_export)
    assert "code ran" not in capfd.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 6, 8, 14])  # fields of the architecture
def test_configurations_that_only_loading_finds_wrong(publishable, seed):
    change_field(publishable, random.Random(seed))
    assert refused(check_model_folder, publishable, PublishError)
