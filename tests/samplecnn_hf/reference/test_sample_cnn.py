"""
Every network of the registry against the reference beside this file, in float64.

Weights, batch-norm statistics and scales (of either sign) are random. Differences are relative to the largest value.
"""

import math

import numpy as np
import pytest
import torch

from samplecnn_hf import SampleCNNForAudioClassification, create_config, list_variants
from tests.samplecnn_hf.reference import sample_cnn

TOLERANCE = 1e-9
FLOAT32 = 1e-6

OTHER_FRAMES = [  # those of the 8-block family in which a stride does not divide its input
    *(f"basic-8-strided{k}" for k in range(3, 9)),
    *(name for name in list_variants() if "-8-" in name and name.endswith(("x729", "x243", "x81", "x27"))),
]


def random_network(variant: str, **overrides) -> SampleCNNForAudioClassification:
    config = create_config(variant, **{"num_labels": 7, **overrides})
    model = SampleCNNForAudioClassification(config).double().eval()
    random = np.random.default_rng(0)
    for name, tensor in {**dict(model.named_parameters()), **dict(model.named_buffers())}.items():
        if name.endswith(("num_batches_tracked", "window", "mel_filters")):
            continue
        if tensor.dim() > 1:
            values = random.normal(scale=math.sqrt(2 / tensor[0].numel()), size=tensor.shape)
        elif name.endswith("running_var"):
            values = random.uniform(0.3, 3, size=tensor.shape)
        elif name.endswith("weight"):
            values = random.uniform(0.5, 1.5, size=tensor.shape) * random.choice([-1, 1], size=tensor.shape)
        else:
            values = random.normal(scale=0.5, size=tensor.shape)
        set_values(tensor, values)
    if config.front_end == "mel":
        exact_spectrogram(model)
    return model


def exact_spectrogram(model: SampleCNNForAudioClassification):
    """The network keeps window and filter bank in float32: they are compared as such, then made exact."""
    config, front_end = model.config, model.samplecnn.front_end
    for ours, exact in [
        (front_end.window, sample_cnn.hann_window(config.stem_kernel_size)),
        (
            front_end.mel_filters,
            sample_cnn.mel_filter_bank(config.sampling_rate, config.n_fft, config.stem_channels),
        ),
    ]:
        assert difference(ours, exact) < FLOAT32
        set_values(ours, exact)


@torch.no_grad()
def set_values(tensor: torch.Tensor, values: np.ndarray):
    tensor.copy_(torch.from_numpy(values))


def sound(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(-1, 1, size=shape)


def difference(ours: torch.Tensor, expected: np.ndarray) -> float:
    assert ours.dtype == torch.float64 and ours.shape == expected.shape
    return np.abs(ours.numpy() - expected).max() / np.abs(expected).max()


@torch.no_grad()
def compare(model: SampleCNNForAudioClassification, waveform: np.ndarray):
    """All outputs for one segment per clip."""
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    expected = sample_cnn.forward(model.config, weights, waveform)
    ours = model(torch.from_numpy(waveform), output_hidden_states=True, output_excitations=True)
    assert difference(ours.segment_logits[:, 0], expected.logits) < TOLERANCE
    for states, reference in zip(ours.hidden_states, expected.hidden_states, strict=True):
        assert difference(states[:, 0].mT, reference) < TOLERANCE
    for excitation, reference in zip(ours.excitations, expected.excitations, strict=True):
        assert difference(excitation[:, 0], reference) < TOLERANCE
    return ours


@pytest.mark.parametrize("variant", list_variants())
def test_every_network(variant):
    model = random_network(variant)
    compare(model, sound(1, model.config.segment_length))


@pytest.mark.parametrize("variant", OTHER_FRAMES)
def test_partial_frames_padded_as_in_keras(variant):
    model = random_network(variant, partial_frames="pad", stem_channels=16)
    padded = compare(model, sound(1, 22050))
    model.config.partial_frames = "drop"
    dropped = compare(model, sound(1, 22050))
    assert [x.shape for x in padded.hidden_states] != [x.shape for x in dropped.hidden_states]


@pytest.mark.parametrize("variant", [name for name in list_variants() if "-stem" in name or name.startswith("mel-")])
def test_channels_of_the_full_network_kept(variant):
    family = 9 if "-9-" in variant else 8
    full = create_config(f"basic-{family}", stem_channels=16).block_channels
    fewer_blocks = family - create_config(variant).num_blocks
    model = random_network(variant, stem_channels=16, first_doubling=max(0, 2 - fewer_blocks))
    ours = compare(model, sound(1, model.config.segment_length))
    widths = [states.shape[2] for states in ours.hidden_states]
    assert widths == [16, *full[fewer_blocks:]]


@pytest.mark.parametrize("partial_frames", ["drop", "pad"])
@pytest.mark.parametrize("seed", range(40))
def test_random_architectures_on_any_length(seed, partial_frames):
    random = np.random.default_rng(seed)
    stride = int(random.integers(1, 12))
    kernel_size = stride + 2 * int(random.integers(0, 8))
    block_type = random.choice(["basic", "se", "res1", "res2", "rese1", "rese2"])
    num_blocks = int(random.integers(3, 6))
    most_strided = num_blocks + 1 if block_type in ("basic", "se") else 1
    config = {
        "block_type": str(block_type),
        "stem_kernel_size": kernel_size,
        "stem_stride": stride,
        "num_blocks": num_blocks,
        "num_strided_convolutions": int(random.integers(0 if kernel_size % 2 else 1, most_strided + 1)),
        "first_doubling": int(random.integers(0, 4)),
        "multi_level": bool(random.integers(0, 2)),
        "se_ratio": float(random.choice([0.125, 1, 2])),
        "segment_length": stride * 3**num_blocks,
        "partial_frames": partial_frames,
    }
    model = random_network("test-basic", **config)
    compare(model, sound(2, model.config.min_samples + int(random.integers(0, 100))))


@pytest.mark.parametrize("problem_type", ["single_label_classification", "multi_label_classification"])
def test_clip_is_the_mean_of_its_segments(problem_type):
    """Several segments per clip, some of them padding: their mean probabilities, embeddings and excitations."""
    model = random_network("test-rese2", problem_type=problem_type)
    clips, mask = sound(3, 4, 1458), np.array([[1, 1, 1, 1], [1, 0, 1, 0], [1, 0, 0, 0]])
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    segments = sample_cnn.forward(model.config, weights, clips.reshape(12, 1458))
    with torch.no_grad():
        inputs, attention_mask = torch.from_numpy(clips), torch.from_numpy(mask)
        ours = model(inputs, attention_mask=attention_mask, output_excitations=True)
        embedding = model.samplecnn(inputs, attention_mask=attention_mask).pooler_output

    multi_label = problem_type == "multi_label_classification"
    probabilities = sample_cnn.clip_probabilities(segments.logits.reshape(3, 4, -1), mask, multi_label)
    assert difference(ours.logits.sigmoid() if multi_label else ours.logits.softmax(-1), probabilities) < TOLERANCE
    assert difference(embedding, sample_cnn.mean_of_real(segments.embedding.reshape(3, 4, -1), mask)) < TOLERANCE
    for excitation, reference in zip(ours.excitations, segments.excitations, strict=True):
        assert difference(excitation[mask.astype(bool)], reference[mask.ravel().astype(bool)]) < TOLERANCE
