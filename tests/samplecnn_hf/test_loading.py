"""What is wrong with a model folder is said in one line, by the loader and by the commands that use it."""

import json
import os

import pytest
import torch
from safetensors.torch import load_file, save_file

from samplecnn_hf import cli
from samplecnn_hf.loading import load_classifier, load_for_fine_tuning


def fields(name="config.json", **changes):
    def change(folder):
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def content(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def fifo(name):
    return lambda folder: (folder / name).unlink() or os.mkfifo(folder / name)


def without_classifier(folder):
    path = folder / "model.safetensors"
    save_file({name: x for name, x in load_file(path).items() if "classifier" not in name}, path, {"format": "pt"})


FAULTS = {
    "weights cut off": (lambda folder: os.truncate(folder / "model.safetensors", 1000), "invalid header length"),
    "empty weights": (content("model.safetensors", b""), "header too small"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "no file named model.safetensors"),
    "weights in a FIFO": (fifo("model.safetensors"), "no file named model.safetensors"),
    "no classifier": (without_classifier, "no trained classifier"),
    "other network": (fields(stem_channels=16), "its weights do not match config.json"),
    "fewer blocks": (fields(num_blocks=4), "its weights do not match config.json"),
    "no config": (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
    "config in a FIFO": (fifo("config.json"), "has no config.json"),
    "extractor in a FIFO": (fifo("preprocessor_config.json"), "has no preprocessor_config.json"),
    "config cut off": (content("config.json", b"{"), "not a valid JSON file"),
    "config not UTF-8": (content("config.json", b'{"model_type": "\xff"}'), "not a valid JSON file"),
    "config nested": (content("config.json", b"[" * 200_000), "recursion"),
    "config a list": (content("config.json", b"[]"), "mapping"),
    "text for a number": (fields(num_blocks="5"), "num_blocks"),
    "unknown block": (fields(block_type="conv"), "block_type must be one of"),
    "labels in a list": (fields(id2label=["cat"]), ""),
    "label without a name": (fields(id2label={"x": None}), ""),
    "dtype that does not exist": (fields(dtype="float77"), "float77"),
    "extractor of a wrong type": (fields("preprocessor_config.json", segment_length="long"), ""),
    "extractor too short": (fields("preprocessor_config.json", segment_length=5), "segment_length"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(pretrained, capfd, fault):
    damage, message = FAULTS[fault]
    damage(pretrained)
    before = sorted(os.listdir(pretrained))
    with pytest.raises(OSError) as error:
        load_classifier(pretrained)
    told = str(error.value)
    assert len(told.splitlines()) == 1 and str(pretrained) in told and message in told
    with pytest.raises(SystemExit) as exit:
        cli.main(["export", str(pretrained)])
    assert exit.value.code == f"error: {told}"
    assert sorted(os.listdir(pretrained)) == before
    assert "LOAD REPORT" not in capfd.readouterr().err


def test_sound_folder(pretrained, tiny_model):
    model, extractor = load_classifier(pretrained)
    assert model.config.labels == tiny_model.config.labels and model.dtype == torch.float32
    assert extractor.segment_length == 1458


@pytest.mark.parametrize(
    "name", ["nowhere", "a/b/c", "two\nlines", "", "x\0y", "\udcff/x", "x" * 300, "x" * 300 + "/y"]
)
def test_models_that_are_not_there(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError) as error:
        load_classifier(name)
    assert len(str(error.value).splitlines()) == 1


def test_only_the_classifier_may_be_new_for_fine_tuning(pretrained):
    labels = {"id2label": {0: "a", 1: "b"}, "label2id": {"a": 0, "b": 1}}
    model, _ = load_for_fine_tuning(pretrained, **labels)
    assert model.config.labels == ["a", "b"] and model.dtype == torch.float32
    weights = load_file(pretrained / "model.safetensors")
    save_file(
        {name: tensor for name, tensor in weights.items() if "blocks.2" not in name}, pretrained / "model.safetensors"
    )
    with pytest.raises(OSError, match="weights do not match config.json"):
        load_for_fine_tuning(pretrained, **labels)
