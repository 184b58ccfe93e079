"""Shared by all tests: no network, no user's cache, small models and audio files."""

import os
import tempfile

# Read when the libraries are imported, so set before anything imports them.
_hf_home = tempfile.TemporaryDirectory(prefix="hf_home_")
os.environ["HF_HOME"] = _hf_home.name
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import soundfile  # noqa: E402
import torch  # noqa: E402

from samplecnn_hf import SampleCNNFeatureExtractor, SampleCNNForAudioClassification, create_config  # noqa: E402

LABELS = ["bird", "cat", "cow", "dog", "frog", "hen", "owl"]


def with_labels(names: list[str]) -> dict:
    return {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}


def pytest_unconfigure():
    _hf_home.cleanup()


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def make_model():
    """make_model(variant, model_class, **overrides): in eval mode, every tensor random, as if it had been trained."""

    def make(variant="test-se", model_class=SampleCNNForAudioClassification, **overrides):
        generator = torch.Generator().manual_seed(1)
        model = model_class(create_config(variant, **overrides)).eval()
        for name, tensor in model.state_dict().items():
            noise = torch.rand(tensor.shape, generator=generator)
            if "norm" in name or tensor.dim() < 2:
                if name.endswith(("weight", "running_var")):
                    tensor.copy_(0.5 + noise)
                elif name.endswith(("bias", "running_mean")):
                    tensor.copy_(0.2 * (noise - 0.5))
            elif name.endswith("weight"):
                tensor.copy_((noise - 0.5) * (24 / tensor[0].numel()) ** 0.5)
        return model

    return make


@pytest.fixture
def tiny_model(make_model):
    """A classifier of 1,458 samples with seven labels that have names."""
    return make_model("test-se", **with_labels(LABELS))


@pytest.fixture
def tiny_extractor():
    return SampleCNNFeatureExtractor(segment_length=1458)


@pytest.fixture(scope="session")
def make_tone():
    def make(frequency=440.0, seconds=0.2, sampling_rate=22050, amplitude=0.3):
        time = np.arange(round(seconds * sampling_rate)) / sampling_rate
        return (amplitude * np.sin(2 * np.pi * frequency * time)).astype(np.float32)

    return make


@pytest.fixture
def write_tone(tmp_path, make_tone):
    """write_tone("a.mp3", seconds=..., sampling_rate=...): a file in tmp_path; the suffix names the format."""

    def write(name="tone.wav", sampling_rate=22050, **kwargs):
        path = tmp_path / name
        soundfile.write(path, make_tone(sampling_rate=sampling_rate, **kwargs), sampling_rate)
        return path

    return write
