"""Files that can be read, but are not a network that can be converted: one line names the tensor that does not fit."""

import json
import re

import numpy as np
import pytest
import torch

from samplecnn_hf.convert import convert_checkpoint
from samplecnn_hf.convert.files import ConvertError

h5py = pytest.importorskip("h5py", reason="needs h5py: pip install 'samplecnn-hf[convert]'")
pytest.importorskip("keras", reason="needs Keras: pip install keras")

from tests.samplecnn_hf.convert.networks import KerasNetwork, PlainNetwork  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

LABELS = ["bird", "cat", "cow"]


def refuse(path, message):
    with pytest.raises(ConvertError) as raised:
        convert_checkpoint(path, path.with_name("converted"), LABELS, "multi_label_classification")
    assert re.search(message, str(raised.value)), raised.value
    assert [*path.parent.iterdir()] == [path]


@pytest.fixture(scope="module")
def keras_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keras")
    return {
        "sampleaudio": KerasNetwork("rese2").save(folder / "sampleaudio.h5"),
        "resemul": KerasNetwork("rese2", default_names=True).save(folder / "resemul.h5"),
    }


@pytest.fixture
def edit(keras_files, tmp_path):
    """edit("resemul", conv1d_3={"kernel": ...}): a copy in which None stands for what is removed."""

    def copy(source, changes, whole=False):
        path = tmp_path / "final.h5"
        path.write_bytes(keras_files[source].read_bytes())
        with h5py.File(path, "a") as file:
            for layer, tensors in changes.items():
                if tensors is None:
                    del file[f"model_weights/{layer}"]
                    continue
                for name, shape in tensors.items():
                    place = f"model_weights/{layer}/{layer}/{name}:0"
                    if place in file:
                        del file[place]
                    if shape is not None:
                        file[place] = np.ones(shape, np.float32)
            if not whole:
                del file.attrs["model_config"]
        return path

    return copy


@pytest.mark.parametrize(
    "source, changes, message",
    [
        ("sampleaudio", {"conv0": None}, "^conv0/kernel is missing"),
        ("sampleaudio", {"logit": None}, "^logit/kernel is missing"),
        ("sampleaudio", {"block3_norm1": None}, "^block3_norm1/gamma is missing from a rese2 network of 5 blocks"),
        ("sampleaudio", {"block3_conv0": None}, "^block3_conv0/kernel is missing"),
        ("sampleaudio", {"block2_scut_conv": None}, "^block2_scut_conv/kernel is missing"),
        ("sampleaudio", {"block1_ex0": None}, "^block1_ex0/kernel is missing"),
        ("sampleaudio", {"final_norm": {"moving_variance": None}}, "^final_norm/moving_variance is missing"),
        ("sampleaudio", {"block0_conv1": {"bias": None}}, "^block0_conv1/bias is missing"),
        ("sampleaudio", {"block1_scut_conv": {"kernel": (1, 8, 8)}}, "^block1_scut_conv/kernel is unexpected"),
        ("sampleaudio", {"block9_conv2": {"kernel": (1, 8, 8)}}, "^block5_conv0/kernel is missing"),
        ("sampleaudio", {"block99_conv": {"kernel": (1, 8, 8)}}, "between 1 and 12 blocks; it has 100"),
        ("sampleaudio", {"conv0": {"depthwise": (3, 8)}}, "^conv0/depthwise is unexpected"),
        ("sampleaudio", {"extra": {"kernel": (3, 8)}}, "^extra/kernel is unexpected"),
        (
            "sampleaudio",
            {"block3_conv1": {"kernel": (3, 16, 12)}},
            r"^block3_conv1/kernel has the shape \[3, 16, 12\]; .* on 8 channels needs \[3, 16, 16\]$",
        ),
        (
            "sampleaudio",
            {"block3_conv0": {"kernel": (5, 16, 16)}},
            r"^block3_conv0/kernel has the shape \[5, 16, 16\]",
        ),
        ("sampleaudio", {"final_fc": {"kernel": (40, 32)}}, r"^final_fc/kernel has the shape \[40, 32\]"),
        ("sampleaudio", {"norm0": {"gamma": (9,)}}, r"^norm0/gamma has the shape \[9\]"),
        ("sampleaudio", {"logit": {"kernel": (32,)}}, "^logit/kernel must have 2 dimensions; it has 1"),
        ("sampleaudio", {"conv0": {"kernel": (3, 2, 8)}}, r"^conv0/kernel has the shape \[3, 2, 8\]"),
        ("sampleaudio", {"conv0": {"kernel": (9, 1, 8)}}, "kernel of 9, and weights alone do not contain its stride"),
        (
            "sampleaudio",
            {"block3_ex0": {"kernel": (16, 7)}},
            "squeezes .*7 of 16.* are not a constant ratio",
        ),
        ("resemul", {"conv1d_5": None}, "a layer between conv1d_4 and conv1d_6 is missing"),
        ("resemul", {"conv1d_13": None}, "a SampleCNN of 12 convolutions must have .* batch norms; the file has 14"),
        ("resemul", {"batch_normalization_14": None}, "13 convolutions must have 14 batch norms; the file has 13"),
        ("resemul", {"dense_12": None}, "must have 12 dense layers; the file has 11"),
        ("resemul", {"conv1d_2": {"bias": None}}, "^conv1d_2/bias is missing"),
        ("resemul", {"conv1d_2": {"kernel": None}}, "^conv1d_2/kernel is missing"),
        ("resemul", {"conv1d_2": {"kernel": (3, 8, 9)}}, r"^conv1d_2/kernel has the shape \[3, 8, 9\]"),
        ("resemul", {"batch_normalization_3": {"beta": (7,)}}, r"^batch_normalization_3/beta has the shape \[7\]"),
        ("resemul", {"conv2d_1": {"kernel": (3, 8, 9)}}, "^the layer conv2d_1 in the file is unexpected"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, dict) else "",
)
def test_tensors_of_keras(edit, source, changes, message):
    refuse(edit(source, changes), message)


@pytest.mark.parametrize(
    "layer, setting, value, message",
    [
        ("block2_conv0", "strides", [2], "block2_conv0 in the file has strides=2; a SampleCNN has 1"),
        ("block2_conv0", "padding", "valid", "block2_conv0 in the file has padding='valid'; a SampleCNN has 'same'"),
        ("block2_conv0", "dilation_rate", [2], "dilation_rate=2; a SampleCNN has 1"),
        ("conv0", "strides", [2], "stem_kernel_size - stem_stride must be even"),
        ("conv0", "strides", [1], "5 max-poolings for a stem of stride 1 and 5 blocks"),
        ("conv0", "strides", "x", "the network in the file is not a SampleCNN"),
        ("max_pooling", "pool_size", [2], "pool_size=2; a SampleCNN has 3"),
        ("max_pooling", "padding", "same", "padding='same'; a SampleCNN has 'valid'"),
        ("max_pooling", None, None, "4 max-poolings for a stem of stride 3 and 5 blocks"),
        ("block2_norm0", "epsilon", 0.1, "has epsilon=0.1; a SampleCNN has 0.001"),
        ("block2_norm0", "epsilon", [0.1, 0.2], "has epsilon=None; a SampleCNN has 0.001"),
    ],
)
def test_settings_of_keras(edit, layer, setting, value, message):
    path = edit("sampleaudio", {}, whole=True)
    with h5py.File(path, "a") as file:
        config = json.loads(file.attrs["model_config"])
        layers = config["config"]["layers"]
        (found, *_) = [entry for entry in layers if entry["config"]["name"].startswith(layer)]
        if setting is None:
            layers.remove(found)
        else:
            found["config"][setting] = value
        file.attrs["model_config"] = json.dumps(config)
    refuse(path, message)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"conv3.0.weight": None}, "^conv3.0.weight is missing"),
        ({"conv3.1.running_mean": None}, "^conv3.1.running_mean is missing"),
        ({"conv3.0.weight": (16, 8, 2)}, r"^conv3.0.weight has the shape \[16, 8, 2\]; .* needs \[8, 8, 3\]"),
        ({"conv1.0.weight": (8, 1, 9)}, "kernel of 9, and weights alone do not contain its stride"),
        ({"conv7.0.weight": (32, 32, 2)}, "conv7.0 must have a kernel of 1 or 3; it has 2"),
        ({"conv7.0.weight": (32, 32)}, "conv7.0.weight must have 3 dimensions; it has 2"),
        ({"conv3.0.weight": None, "conv3.0.bias": None}, "a layer between conv2.0 and conv4.0 is missing"),
        ({"conv9.0.weight": (32, 32, 3)}, "a layer between conv7.0 and conv9.0 is missing"),
        ({"fc.weight": None, "fc.bias": None}, "no output layer: only complete classifiers"),
        ({"fc.weight_g": (3, 1)}, "^fc.weight_g is unexpected"),
        ({"projector.weight": (3, 1)}, "the layer projector in the file is unexpected"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_tensors_of_pytorch(save_state, changes, message):
    state = PlainNetwork().state_dict()
    for name, shape in changes.items():
        if shape is None:
            del state[name]
        else:
            state[name] = torch.ones(shape)
    refuse(save_state(state), message)


def test_other_networks_of_pytorch(save_state):
    refuse(save_state({"layer1.conv_1.weight": torch.ones(8, 1, 3)}), "SampleCNNSE .* its stem is a residual block")
    refuse(
        save_state({"features.0.weight": torch.ones(8, 1, 3)}), r"the layers \(features.0, ...\) do not have the names"
    )
