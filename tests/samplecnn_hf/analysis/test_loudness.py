import numpy as np
import pytest
import torch

from samplecnn_hf.analysis import ClipExcitations, ExcitationRecorder, dbfs, relate_to_loudness, rms


def constructed_clips(slopes, num_clips=4, segments=5, seed=0):
    """Block b's channels rise (or fall) with the loudness by slopes[b], each with an offset of its own."""
    rng = np.random.default_rng(seed)
    for _ in range(num_clips):
        levels = rng.uniform(0.01, 0.3, segments)
        blocks = tuple(0.5 + slope * levels[:, None] + 0.01 * np.arange(3) for slope in slopes)
        yield ClipExcitations(levels, blocks, tuple(1 - block for block in blocks))


def test_rms_and_dbfs(make_tone):
    tone = make_tone(441, seconds=1.0, amplitude=1.0)
    assert rms(tone) == pytest.approx(0.5**0.5, rel=1e-4)
    assert dbfs(rms(tone)) == pytest.approx(-3.01, abs=0.01)
    levels = rms(np.stack([np.ones(100), 0.1 * np.ones(100), np.zeros(100)]).astype(np.float32))
    np.testing.assert_allclose(levels, [1, 0.1, 0], rtol=1e-6)
    np.testing.assert_allclose(dbfs(levels), [0, -20, -np.inf], atol=1e-5)


def test_correlations_of_constructed_data():
    relation = relate_to_loudness(constructed_clips([1.0, -2.0, 0.0]))
    assert relation.rms.shape == (20,)
    assert relation.magnitudes.shape == relation.excitations.shape == (3, 20)
    np.testing.assert_allclose(relation.magnitude_correlations, [1, -1, np.nan])
    np.testing.assert_allclose(relation.excitation_correlations, [-1, 1, np.nan])


def test_correlations_are_those_of_numpy():
    rng = np.random.default_rng(3)
    blocks = tuple(rng.random((50, 8)).astype(np.float32) for _ in range(2))
    clip = ClipExcitations(rng.random(50), blocks, tuple(block**2 for block in blocks))
    relation = relate_to_loudness([clip])
    for block in range(2):
        magnitude = np.corrcoef(blocks[block].mean(1), clip.rms)[0, 1]
        excitation = np.corrcoef((blocks[block] ** 2).mean(1), clip.rms)[0, 1]
        assert relation.magnitude_correlations[block] == pytest.approx(magnitude, abs=1e-5)
        assert relation.excitation_correlations[block] == pytest.approx(excitation, abs=1e-5)


def test_the_bottom_six_blocks():
    assert len(relate_to_loudness(constructed_clips([1.0] * 8)).magnitudes) == 6
    assert len(relate_to_loudness(constructed_clips([1.0] * 8), num_blocks=8).excitations) == 8
    assert len(relate_to_loudness(constructed_clips([1.0] * 5)).magnitudes) == 5


def test_a_network_that_turns_loud_sounds_down(make_model, tiny_extractor):
    """A first block whose squeeze adds up what it hears, and whose excitation falls with the sum."""
    model = make_model("test-se")
    se = model.samplecnn.blocks[0].se
    with torch.no_grad():
        se.squeeze.weight.fill_(1.0)
        se.excite.weight.fill_(-0.2)
    record = ExcitationRecorder(model, tiny_extractor)
    rng = np.random.default_rng(0)
    noises = [amplitude * rng.standard_normal(1458) for amplitude in np.linspace(0.05, 1.0, 12)]
    relation = relate_to_loudness(record(noise, 22050) for noise in noises)
    assert relation.magnitude_correlations[0] > 0.95
    assert relation.excitation_correlations[0] < -0.8


@pytest.mark.parametrize("clips", [[], list(constructed_clips([1.0], num_clips=1, segments=1))])
def test_too_few_segments(clips):
    with pytest.raises(ValueError, match="at least two segments"):
        relate_to_loudness(clips)
