"""Segments, their normalization, and the options of the feature extractor."""

import numpy as np
import pytest
import torch

from samplecnn_hf import SampleCNNFeatureExtractor

RATE = 22050

WAVEFORM = np.random.default_rng(0).uniform(-1, 1, 400).astype(np.float32)


def extractor(segment_length=400, **kwargs):
    return SampleCNNFeatureExtractor(segment_length=segment_length, **kwargs)


def values(audio, sampling_rate=RATE, **kwargs):
    """The segments of one clip."""
    return extractor(**kwargs)(audio, sampling_rate=sampling_rate)["input_values"][0]


@pytest.mark.parametrize(
    "length, options, starts",
    [
        (1, {}, [0]),
        (5, {}, [0]),
        (10, {}, [0]),
        (11, {}, [0, 10]),
        (20, {}, [0, 10]),
        (21, {}, [0, 10, 20]),
        (25, {"hop_length": 5}, [0, 5, 10, 15]),
        (26, {"hop_length": 5}, [0, 5, 10, 15, 20]),
        (13, {"hop_length": 1}, [0, 1, 2, 3]),
        (14, {"hop_length": 3}, [0, 3, 6]),
        (5, {"drop_last": True}, [0]),
        (19, {"drop_last": True}, [0]),
        (20, {"drop_last": True}, [0, 10]),
        (26, {"drop_last": True, "hop_length": 5}, [0, 5, 10, 15]),
        (35, {"max_segments": 2}, [0, 10]),
        (35, {"max_segments": 9}, [0, 10, 20, 30]),
        (35, {"max_segments": 9, "drop_last": True}, [0, 10, 20]),
        (35, {"max_segments": 1, "hop_length": 5}, [0]),
    ],
)
def test_segments_of_a_clip(length, options, starts):
    clip = np.arange(1, length + 1, dtype=np.float32)
    feature_extractor = extractor(10, **options)
    assert feature_extractor.segment_starts(length) == starts
    result = feature_extractor(clip, sampling_rate=RATE)
    padded = np.concatenate([clip, np.zeros(10, dtype=np.float32)])
    expected = np.stack([padded[start : start + 10] for start in starts])
    np.testing.assert_array_equal(result["input_values"][0], expected)
    assert result["attention_mask"].tolist() == [[1] * len(starts)]


@pytest.mark.parametrize("seed", range(200))
def test_segments_of_blocks_are_those_of_the_whole(seed):
    """And they start where `segment_starts` says."""
    rng = np.random.default_rng(seed)
    length = int(rng.integers(1, 20))
    options = {
        "hop_length": int(rng.integers(1, length + 1)),
        "max_segments": int(rng.integers(1, 10)) if rng.random() < 0.5 else None,
        "drop_last": bool(rng.random() < 0.5),
        "short_clips": str(rng.choice(["zero", "tile"])),
        "padding_value": -1.0,
    }
    feature_extractor = extractor(length, **options)
    waveform = rng.integers(0, 1000, rng.integers(1, 100)).astype(rng.choice(["int16", "float32"]))
    whole = feature_extractor.segment(waveform)
    blocks = np.split(waveform, np.sort(rng.integers(0, len(waveform) + 1, 10)))
    np.testing.assert_array_equal(list(feature_extractor.segment_blocks(blocks)), whole)
    assert whole.dtype == waveform.dtype
    starts = feature_extractor.segment_starts(len(waveform))
    assert len(whole) == len(starts)
    filling = np.tile(waveform, length) if options["short_clips"] == "tile" and len(waveform) < length else -1
    filled = np.append(waveform, np.resize(filling, length).astype(waveform.dtype))
    np.testing.assert_array_equal(whole, [filled[start : start + length] for start in starts])


def test_no_more_blocks_are_read_than_segments_are_kept():
    blocks = iter([np.zeros(25), np.zeros(25), np.zeros(25)])
    assert len(list(extractor(10, max_segments=3).segment_blocks(blocks))) == 3
    assert len(list(blocks)) == 1


def test_ten_segments_of_a_clip_as_in_the_paper():
    clip = np.zeros(round(29.1 * 22050), dtype=np.float32)
    paper = SampleCNNFeatureExtractor(max_segments=10, drop_last=True)
    assert paper(clip, sampling_rate=RATE)["input_values"].shape == (1, 10, 59049)
    # by default nothing of the clip is lost
    assert SampleCNNFeatureExtractor()(clip, sampling_rate=RATE)["input_values"].shape == (1, 11, 59049)


@pytest.mark.parametrize(
    "options, expected",
    [
        ({}, [1, 2, 3, 4, 0, 0, 0, 0, 0, 0]),
        ({"padding_value": -1.0}, [1, 2, 3, 4, -1, -1, -1, -1, -1, -1]),
        ({"short_clips": "tile"}, [1, 2, 3, 4, 1, 2, 3, 4, 1, 2]),
        ({"short_clips": "repeat"}, [1, 1, 1, 2, 2, 2, 3, 3, 3, 4]),
    ],
)
def test_short_clips(options, expected):
    np.testing.assert_array_equal(values(np.array([1.0, 2.0, 3.0, 4.0]), segment_length=10, **options), [expected])


@pytest.mark.parametrize("num_samples, times", [(1, 40), (13, 4), (20, 2), (39, 2), (40, 1), (47, 1)])
@pytest.mark.parametrize("drop_last", [False, True])
def test_repeated_samples_fill_all_segments(num_samples, times, drop_last):
    """As the authors do: numpy.repeat, cut off at the end."""
    clip = np.arange(1.0, num_samples + 1)
    result = values(clip, segment_length=10, max_segments=4, drop_last=drop_last, short_clips="repeat")
    np.testing.assert_array_equal(result, np.repeat(clip, times)[:40].reshape(4, 10))


def test_repeated_samples_of_a_clip_in_blocks():
    feature_extractor = extractor(segment_length=10, max_segments=4, hop_length=7, short_clips="repeat")
    for num_samples in range(1, 50):
        clip = np.arange(num_samples, dtype=np.int16)
        whole = feature_extractor.segment(clip)
        blocks = list(feature_extractor.segment_blocks(np.array_split(clip, min(5, num_samples))))
        np.testing.assert_array_equal(whole, blocks)
        assert len(whole) == len(feature_extractor.segment_starts(num_samples)) == 4 and whole.dtype == np.int16


def test_tiling_is_for_short_clips_alone():
    result = values(np.arange(1.0, 13.0), segment_length=10, short_clips="tile")
    np.testing.assert_array_equal(result[1], [11, 12] + [0] * 8)


@pytest.mark.parametrize("as_tensor", [False, True])
def test_normalization_of_segments(as_tensor):
    segments = np.random.default_rng(0).normal(3, 5, (2, 3, 400)).astype(np.float32)
    given = torch.from_numpy(segments) if as_tensor else segments
    result = extractor(do_normalize=True).normalize(given)
    assert type(result) is type(given)
    expected = (segments - segments.mean(-1, keepdims=True)) / segments.std(-1, keepdims=True)
    np.testing.assert_allclose(np.asarray(result), expected, atol=1e-4)


@pytest.mark.parametrize("as_tensor", [False, True])
def test_mean_and_std_of_the_data(as_tensor):
    given = torch.from_numpy(WAVEFORM) if as_tensor else WAVEFORM
    result = extractor(mean=0.1, std=0.25).normalize(given)
    assert type(result) is type(given)
    np.testing.assert_allclose(np.asarray(result), (WAVEFORM - 0.1) / 0.25, atol=1e-5)


def test_normalization_happens_when_called():
    clip = np.concatenate([0.5 + WAVEFORM, 3 * WAVEFORM])
    result = values(clip, do_normalize=True)
    np.testing.assert_allclose(result.mean(-1), 0, atol=1e-5)  # each segment by itself
    np.testing.assert_allclose(result.std(-1), 1, atol=1e-3)
    np.testing.assert_allclose(values(WAVEFORM, mean=0.1, std=0.25)[0], (WAVEFORM - 0.1) / 0.25, atol=1e-5)
    np.testing.assert_array_equal(values(WAVEFORM)[0], WAVEFORM)


def test_silence_stays_silence():
    np.testing.assert_array_equal(values(np.zeros(400), do_normalize=True), np.zeros((1, 400)))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"feature_size": 2}, "mono"),
        ({"sampling_rate": 0}, "sampling_rate"),
        ({"sampling_rate": "22050"}, "sampling_rate"),
        ({"segment_length": 0}, "segment_length"),
        ({"segment_length": 400.5}, "segment_length"),
        ({"segment_length": "400"}, "segment_length"),
        ({"segment_length": 10**12}, "segment_length"),
        ({"hop_length": True}, "hop_length"),
        ({"hop_length": 0}, "hop_length"),
        ({"hop_length": 401}, "hop_length"),
        ({"max_segments": 0}, "max_segments"),
        ({"short_clips": "loop"}, "zero, tile, repeat"),
        ({"padding_value": None}, "padding_value"),
        ({"padding_value": float("inf")}, "padding_value"),
        ({"mean": "0"}, "mean"),
        ({"std": 0.0}, "std"),
        ({"std": float("nan")}, "std"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        extractor(**options)


def test_json_round_trip(tmp_path):
    feature_extractor = SampleCNNFeatureExtractor(
        sampling_rate=16000,
        padding_value=0.5,
        segment_length=22050,
        hop_length=100,
        max_segments=3,
        drop_last=True,
        short_clips="tile",
        do_normalize=True,
        mean=-0.1,
        std=0.2,
    )
    feature_extractor.save_pretrained(tmp_path)
    loaded = SampleCNNFeatureExtractor.from_pretrained(tmp_path)
    assert loaded.to_dict() == feature_extractor.to_dict()
    clip = np.tile(WAVEFORM, 100)
    expected = feature_extractor(clip, sampling_rate=RATE)["input_values"]
    np.testing.assert_array_equal(loaded(clip, sampling_rate=RATE)["input_values"], expected)
    assert SampleCNNFeatureExtractor.from_pretrained(tmp_path, hop_length=200).hop_length == 200
