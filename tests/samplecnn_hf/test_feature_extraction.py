import numpy as np
import pytest
import torch
from transformers.utils import logging as transformers_logging

from samplecnn_hf import SampleCNNFeatureExtractor

RATE = 22050

# 8-bit samples: every format below holds them exactly.
PCM = np.random.default_rng(0).integers(-128, 128, 400)
WAVEFORM = (PCM / 128).astype(np.float32)


def extractor(segment_length=400, **kwargs):
    return SampleCNNFeatureExtractor(segment_length=segment_length, **kwargs)


def values(audio, sampling_rate=RATE, **kwargs):
    """The segments of one clip."""
    return extractor(**kwargs)(audio, sampling_rate=sampling_rate)["input_values"][0]


# ---------------------------------------------------------------------------------------------------------------------
# Whatever a user has
# ---------------------------------------------------------------------------------------------------------------------

SIDE = np.random.default_rng(1).integers(-64, 64, 400) / 128  # what left and right differ by
STEREO = np.stack([WAVEFORM + SIDE, WAVEFORM - SIDE]).astype(np.float32)

INPUTS = {
    "float32": WAVEFORM,
    "float64": WAVEFORM.astype(np.float64),
    "float16": WAVEFORM.astype(np.float16),
    "int8": PCM.astype(np.int8),
    "uint8": (PCM + 128).astype(np.uint8),
    "int16": (PCM * 2**8).astype(np.int16),
    "int32": (PCM * 2**24).astype(np.int32),
    "big endian": WAVEFORM.astype(">f4"),
    "every other sample": np.repeat(WAVEFORM, 2)[::2],
    "list": WAVEFORM.tolist(),
    "tuple": tuple(WAVEFORM.tolist()),
    "torch float32": torch.from_numpy(WAVEFORM),
    "torch float64": torch.from_numpy(WAVEFORM).double(),
    "torch float16": torch.from_numpy(WAVEFORM).half(),
    "torch bfloat16": torch.from_numpy(WAVEFORM).bfloat16(),
    "torch int16": torch.from_numpy((PCM * 2**8).astype(np.int16)),
    "torch with gradient": torch.from_numpy(WAVEFORM).requires_grad_(),
    "(1, samples)": WAVEFORM[None],
    "(samples, 1)": WAVEFORM[:, None],
    "(channels, samples)": STEREO,
    "(samples, channels)": STEREO.T,
    "torch (channels, samples)": torch.from_numpy(STEREO),
    "int16 (samples, channels)": np.stack([PCM * 2**8] * 2, axis=1).astype(np.int16),
    "six channels": np.stack([WAVEFORM] * 6),
}


@pytest.mark.parametrize("name", INPUTS)
def test_every_kind_of_input_is_the_same_waveform(name):
    result = values(INPUTS[name])
    assert result.dtype == np.float32
    assert result.shape == (1, 400)
    np.testing.assert_allclose(result[0], WAVEFORM, atol=1e-6)


def test_a_list_of_clips_is_a_batch():
    clips = list(INPUTS.values())
    result = extractor()(clips, sampling_rate=RATE)
    assert result["input_values"].shape == (len(clips), 1, 400)
    for row in result["input_values"]:
        np.testing.assert_allclose(row[0], WAVEFORM, atol=1e-6)


def test_batch_of_different_lengths():
    clips = [WAVEFORM, np.tile(WAVEFORM, 3)[:850], WAVEFORM[:10]]
    result = extractor()(clips, sampling_rate=RATE)
    assert result["input_values"].shape == (3, 3, 400)
    assert result["attention_mask"].tolist() == [[1, 0, 0], [1, 1, 1], [1, 0, 0]]
    for i, clip in enumerate(clips):
        alone = values(clip)
        np.testing.assert_array_equal(result["input_values"][i, : len(alone)], alone)
        assert not result["input_values"][i, len(alone) :].any()


@pytest.mark.parametrize("return_tensors, kind", [("pt", torch.Tensor), ("np", np.ndarray), (None, np.ndarray)])
def test_return_tensors(return_tensors, kind):
    result = extractor()([WAVEFORM, WAVEFORM], sampling_rate=RATE, return_tensors=return_tensors)
    assert set(result) == {"input_values", "attention_mask"}
    assert all(isinstance(value, kind) for value in result.values())
    assert str(result["input_values"].dtype).endswith("float32")
    assert str(result["attention_mask"].dtype).endswith("int64")


def test_the_caller_keeps_his_samples():
    audio = WAVEFORM.copy()
    result = values(audio, do_normalize=True, mean=0.1)
    result += 1
    np.testing.assert_array_equal(audio, WAVEFORM)


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000, 44100.0, np.int64(48000)])
@pytest.mark.parametrize("stereo", [False, True])
def test_resampling_keeps_pitch_length_and_loudness(make_tone, rate, stereo):
    tone = make_tone(1000, seconds=1, sampling_rate=int(rate))
    audio = np.stack([tone, tone], axis=1) if stereo else tone
    waveform = extractor().to_waveform(audio, rate)
    assert waveform.dtype == np.float32
    assert abs(len(waveform) - RATE) <= 1
    spectrum = np.abs(np.fft.rfft(waveform[:RATE] * np.hanning(len(waveform[:RATE]))))
    assert abs(spectrum.argmax() - 1000) <= 1  # a bin is 1 Hz
    assert np.abs(waveform[2000:-2000]).max() == pytest.approx(0.3, rel=0.02)


def test_resampling_does_not_fold_back(make_tone):
    """15 kHz does not exist at 22,050 Hz; without a filter it would be heard at 7,050 Hz."""
    waveform = extractor().to_waveform(make_tone(15000, seconds=1, sampling_rate=44100), 44100)
    assert np.abs(waveform[2000:-2000]).max() < 0.001


@pytest.mark.parametrize(
    "audio, sampling_rate, message",
    [
        (np.zeros(0), RATE, "empty"),
        ([], RATE, "empty"),
        (np.zeros((2, 0)), RATE, "empty"),
        ([np.zeros(5), np.zeros(0)], RATE, "empty"),
        (np.zeros((2, 2, 50)), RATE, "shape"),
        (np.float32(1), RATE, "shape"),
        (np.zeros((16, 400)), RATE, "as a list"),
        (np.array([0.0, np.nan]), RATE, "NaN"),
        (np.array([0.0, np.inf]), RATE, "infinite"),
        (torch.tensor([0.0, -torch.inf]), RATE, "infinite"),
        (np.zeros(50, dtype=np.int64), RATE, "int64"),
        (np.zeros(50, dtype=np.complex64), RATE, "complex64"),
        (np.zeros(50, dtype=bool), RATE, "bool"),
        (np.full(50, 1e36), RATE, r"must be in \[-1, 1\]; got a sample of 1e\+36"),
        (np.full(50, 1e300), RATE, "infinite"),
        (np.full((2, 50), 3e38, np.float32), RATE, "infinite"),
        (np.full(50, -40000, np.float32), RATE, r"\[-1, 1\]"),
        ([1, 2, 3], RATE, "int64"),
        ([0.5, "a"], RATE, "<U"),
        ([0.5, None], RATE, "object"),
        (torch.zeros(50, device="meta"), RATE, "meta"),
        (torch.nested.nested_tensor([torch.zeros(5), torch.zeros(6)]), RATE, "nested"),
        (torch.zeros(50).to_sparse(), RATE, "sparse"),
        (torch.zeros(50, dtype=torch.complex64).conj(), RATE, "complex64"),
        (torch.tensor(0.5), RATE, "shape"),
        (WAVEFORM, 0, "between 1000 and 1000000 Hz"),
        (WAVEFORM, 1, "between"),
        (WAVEFORM, -22050, "between"),
        (WAVEFORM, float("nan"), "between"),
        (WAVEFORM, float("inf"), "between"),
        (WAVEFORM, "44100", "number in Hz"),
        (WAVEFORM, True, "number in Hz"),
    ],
)
def test_what_is_no_audio_is_refused(audio, sampling_rate, message):
    with pytest.raises(ValueError, match=message):
        extractor()(audio, sampling_rate=sampling_rate)


class Detached:
    """Not a tensor, though it has a method of one."""

    def detach(self):
        return self


@pytest.mark.parametrize("audio", [None, 5, {}, {0.5}, range(10), object(), Detached(), iter([0.5]), [None], [{}]])
def test_what_holds_no_samples_is_a_type_error(audio):
    with pytest.raises((TypeError, ValueError), match="audio must be"):
        extractor()(audio, sampling_rate=RATE)


@pytest.mark.parametrize("shape", [(1, 8), (8, 1), (1, 1), (2, 8), (8, 2), (3, 3), (8, 9), (9, 8)])
def test_the_shorter_axis_holds_the_channels_or_else_the_first(shape):
    audio = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    expected = audio.mean(1 if shape[1] < shape[0] else 0)
    np.testing.assert_array_equal(extractor().to_waveform(audio, RATE), expected)
    np.testing.assert_array_equal(extractor().to_waveform(torch.from_numpy(audio), RATE), expected)


@pytest.mark.parametrize("channels, warnings", [(1, 0), (2, 0), (3, 1), (8, 1)])
def test_one_warning_that_a_batch_is_a_list(caplog, channels, warnings):
    transformers_logging.warning_once.cache_clear()
    for length in (400, 500):
        extractor()(np.zeros((channels, length)), sampling_rate=RATE)
        extractor()(np.zeros((length, channels)), sampling_rate=RATE)
    assert len(caplog.messages) == warnings
    assert all("pass a list" in message for message in caplog.messages)


def test_one_warning_when_the_rate_is_missing(caplog):
    transformers_logging.warning_once.cache_clear()  # another test may have had the warning
    results = [extractor()(WAVEFORM)["input_values"] for _ in range(3)]
    extractor()(WAVEFORM, sampling_rate=RATE)
    assert len(caplog.messages) == 1
    assert "sampling_rate" in caplog.messages[0]
    assert "22050 Hz" in caplog.messages[0]
    for result in results:
        np.testing.assert_array_equal(result[0, 0], WAVEFORM)


# ---------------------------------------------------------------------------------------------------------------------
# Segments
# ---------------------------------------------------------------------------------------------------------------------


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
def test_normalisation_of_segments(as_tensor):
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


def test_normalisation_happens_when_called():
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
        ({"short_clips": "stretch"}, "zero, tile, repeat"),
        ({"short_clips": "repeat", "max_segments": 10**6}, "fills up at most 16777216 samples; max_segments=1000000"),
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
