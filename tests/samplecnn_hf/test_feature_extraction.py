"""Arrays, tensors and lists through the feature extractor, and what it refuses. Files have tests of their own."""

import numpy as np
import pytest
import torch

from samplecnn_hf import SampleCNNFeatureExtractor
from samplecnn_hf.audio_samplecnn import warn_once

RATE = 22050

# 8-bit samples: every format below holds them exactly.
PCM = np.random.default_rng(0).integers(-128, 128, 400)
WAVEFORM = (PCM / 128).astype(np.float32)


def extractor(segment_length=400, **kwargs):
    return SampleCNNFeatureExtractor(segment_length=segment_length, **kwargs)


def values(audio, sampling_rate=RATE, **kwargs):
    """The segments of one clip."""
    return extractor(**kwargs)(audio, sampling_rate=sampling_rate)["input_values"][0]


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
        (np.full(50, 1e36), RATE, r"a sample of 1e\+36; float audio must be in \[-1, 1\]"),
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
        (WAVEFORM, "44100", "a number between"),
        (WAVEFORM, True, "a number between"),
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
    warn_once.cache_clear()
    for length in (400, 500):
        extractor()(np.zeros((channels, length)), sampling_rate=RATE)
        extractor()(np.zeros((length, channels)), sampling_rate=RATE)
    assert len(caplog.messages) == warnings
    assert all("pass a list" in message for message in caplog.messages)


def test_one_warning_when_the_rate_is_missing(caplog):
    warn_once.cache_clear()  # another test may have had the warning
    results = [extractor()(WAVEFORM)["input_values"] for _ in range(3)]
    extractor()(WAVEFORM, sampling_rate=RATE)
    assert len(caplog.messages) == 1
    assert "sampling_rate" in caplog.messages[0]
    assert "22050 Hz" in caplog.messages[0]
    for result in results:
        np.testing.assert_array_equal(result[0, 0], WAVEFORM)
