"""The contract of the HEAR API, which `hear-validator` checks (it needs TensorFlow), and the values."""

import pytest
import torch

from samplecnn_hf import SampleCNNFeatureExtractor
from samplecnn_hf.hear import get_scene_embeddings, get_timestamp_embeddings, load_model


@pytest.fixture(params=["test-basic", "test-se"])
def model(request, tmp_path, make_model):
    make_model(request.param, segment_length=13122).save_pretrained(tmp_path)
    SampleCNNFeatureExtractor(segment_length=13122).save_pretrained(tmp_path)
    return load_model(str(tmp_path))


def noise(num_sounds, seconds, rate=22050):
    return 2 * torch.rand(num_sounds, int(seconds * rate), generator=torch.Generator().manual_seed(0)) - 1


def test_model(model):
    assert isinstance(model, torch.nn.Module)
    assert model.sample_rate == 22050
    assert model.scene_embedding_size == model.timestamp_embedding_size == 32


def test_timestamp_embeddings(model):
    embeddings, timestamps = get_timestamp_embeddings(noise(16, 2.0), model)
    assert embeddings.dtype == torch.float32
    assert embeddings.shape == (16, *timestamps.shape[1:], 32) and len(timestamps) == 16
    spacing = timestamps.diff()
    assert spacing.mean() <= 50
    assert ((spacing - spacing.mean()).abs() < 1e-3).all()
    assert (timestamps[:, 0] == 0).all() and (2000 - spacing.mean() < timestamps[:, -1]).all()


def test_windows_are_centered_at_their_timestamps(model):
    audio = noise(1, 2.0)
    embeddings, timestamps = get_timestamp_embeddings(audio, model)
    center = round(timestamps[0, 20].item() * 22.05)
    with torch.no_grad():
        expected = model.samplecnn(audio[:, center - 6561 : center + 6561]).pooler_output
    assert torch.allclose(embeddings[:, 20], expected, atol=1e-5)


def test_scene_embeddings(model):
    audio = noise(8, 3.74)
    embeddings = get_scene_embeddings(audio, model)
    assert embeddings.dtype == torch.float32 and embeddings.shape == (8, 32)
    with torch.no_grad():
        expected = model.samplecnn(audio[:, : 6 * 13122].view(8, 6, 13122)).pooler_output
    assert torch.allclose(get_scene_embeddings(audio[:, : 6 * 13122], model), expected, atol=1e-5)


@pytest.mark.parametrize("num_samples", [1, 100, 13122])
def test_short_clips(model, num_samples):
    audio = noise(2, 1)[:, :num_samples]
    assert get_scene_embeddings(audio, model).isfinite().all()
    embeddings, timestamps = get_timestamp_embeddings(audio, model)
    assert embeddings.isfinite().all() and timestamps.shape == (2, 1 + num_samples // 1080)


def test_audio_of_a_wrong_shape(model):
    for function in (get_scene_embeddings, get_timestamp_embeddings):
        for audio in (torch.zeros(100), torch.zeros(2, 0)):
            with pytest.raises(ValueError, match=r"must be \[sounds, samples\]"):
                function(audio, model)


def test_missing_model():
    with pytest.raises(OSError, match="there is no model in"):
        load_model("no/such/model")
