"""Batch norm statistics of recordings, and outputs that are removed."""

import copy

import pytest
import torch

from training.loop.auxiliary import STATISTICS_BATCH, keep_labels, reestimate_statistics

NUM_SAMPLES = 1458


@pytest.mark.parametrize("num_segments", [3, STATISTICS_BATCH + 3])
def test_statistics_are_those_of_the_segments(tiny_model, tiny_extractor, generator, num_segments):
    """However few segments there are."""
    segments = 0.3 * torch.randn(num_segments, 1, NUM_SAMPLES, generator=generator)
    norm, before = tiny_model.samplecnn.front_end.norm, copy.deepcopy(tiny_model.state_dict())
    reestimate_statistics(tiny_model, tiny_extractor, [{"input_values": segment} for segment in segments])
    assert not tiny_model.training
    outputs = tiny_model.samplecnn.front_end.conv(segments[:, None]).transpose(0, 1).flatten(1)
    torch.testing.assert_close(norm.running_mean, outputs.mean(1), rtol=0.2, atol=0.02)
    torch.testing.assert_close(norm.running_var, outputs.var(1), rtol=0.2, atol=0.02)
    for name, value in tiny_model.state_dict().items():
        assert torch.equal(value, before[name]) != ("running" in name or "num_batches" in name), name


def test_the_first_labels_are_kept(tiny_model, generator):
    clips, labels = torch.randn(2, NUM_SAMPLES, generator=generator), tiny_model.config.labels[:3]
    with torch.no_grad():
        expected = tiny_model(clips).logits[:, :3].softmax(1)
        keep_labels(tiny_model, labels)
        torch.testing.assert_close(tiny_model(clips).logits.softmax(1), expected)
    assert tiny_model.config.labels == labels and tiny_model.num_labels == tiny_model.config.num_labels == 3
