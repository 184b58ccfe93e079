"""A damaged or unsuitable model is refused in one line, before or after the clips are heard."""

import json
import os

import pytest
import torch

from training import evaluate


@pytest.fixture
def folder(tmp_path, make_model, tiny_extractor):
    """folder(**overrides): a network of the labels of the tones, saved."""

    def save(**overrides):
        labels = {"id2label": {0: "high", 1: "low", 2: "middle"}, "label2id": {"high": 0, "low": 1, "middle": 2}}
        model = make_model("test-se", **{**labels, **overrides})
        model.save_pretrained(tmp_path / "model")
        tiny_extractor.save_pretrained(tmp_path / "model")
        return tmp_path / "model"

    return save


@pytest.fixture
def fail(tones, tmp_path):
    """fail(folder): the one line of error of the command."""

    def fail(folder):
        with pytest.raises(SystemExit) as error:
            evaluate.main([str(folder), "--source=folder", f"--data_dir={tones}", f"--cache_dir={tmp_path / 'cache'}"])
        message = error.value.code
        assert message.startswith("error: ") and len(message.splitlines()) == 1
        return message

    return fail


FIFO = object()


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("model.safetensors", b"", "header too small"),
        ("model.safetensors", None, "no file named model.safetensors"),
        ("model.safetensors", FIFO, "no file named model.safetensors"),
        ("config.json", None, "has no config.json"),
        ("config.json", FIFO, "has no config.json"),
        ("config.json", b"[" * 200_000, "recursion"),
        ("config.json", b'{"model_type": "samplecnn", "num_blocks": "five"}', "num_blocks"),
        ("config.json", b'{"model_type": "samplecnn", "id2label": [1]}', "cannot load the model"),
        ("preprocessor_config.json", b'{"segment_length": {}}', "cannot load the model"),
        ("preprocessor_config.json", b"\xff", "cannot load the model"),
    ],
)
def test_damaged_folders(folder, fail, name, content, message):
    path = folder() / name
    path.unlink()
    if content is FIFO:
        os.mkfifo(path)
    elif content is not None:
        path.write_bytes(content)
    assert message in fail(path.parent)


def test_weights_that_are_not_finite(folder, fail, make_model):
    path = folder()
    model = make_model("test-se", **{"id2label": {0: "high", 1: "low", 2: "middle"}})
    torch.nn.init.constant_(model.classifier.dense.weight, torch.nan)
    model.save_pretrained(path)
    assert "are not finite: its weights are damaged" in fail(path)


def test_networks_for_something_else(folder, fail):
    assert "are not those of" in fail(folder(id2label={0: "low", 1: "high", 2: "middle"}))
    assert "is for single_label_classification; " in fail(folder(problem_type="multi_label_classification"))


def test_sound_folder(folder, tones, tmp_path, capsys):
    evaluate.main([str(folder()), "--source=folder", f"--data_dir={tones}", f"--cache_dir={tmp_path / 'cache'}"])
    *table, line = capsys.readouterr().out.splitlines()
    assert len(table) == 2 + 3 and json.loads(line)["clips"] == 12
