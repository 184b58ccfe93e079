import numpy as np
import pytest
import torch

from samplecnn_hf import SampleCNNAudioClassificationPipeline, SampleCNNFeatureExtractor, SampleCNNStream

RATE, LENGTH = 22050, 1458


def extractor(**options):
    return SampleCNNFeatureExtractor(segment_length=LENGTH, **options)


def stream_rows(stream, audio, seed=0):
    """Rows of audio (samples, ...) that is pushed in chunks of random sizes, most of them short."""
    rows, generator = [], np.random.default_rng(seed)
    while len(audio):
        size = int(generator.choice([0, 1, 100, 441, 3000, 20_000]))
        rows += stream.push(audio[:size])
        audio = audio[size:]
    return rows + stream.flush()


def assert_same_rows(found, expected):
    assert len(found) == len(expected)
    for row, other in zip(found, expected, strict=True):
        assert row["timestamp"] == pytest.approx(other["timestamp"])
        scores, others = ({item["label"]: item["score"] for item in each["scores"]} for each in (row, other))
        assert scores == pytest.approx(others, abs=1e-5)


@pytest.mark.parametrize("options", [{}, {"do_normalize": True}, {"drop_last": True}, {"mean": 0.1, "std": 0.5}])
@pytest.mark.parametrize("num_samples", [20, 1458, 1459, 9000, 30_001])
def test_rows_are_those_of_the_file(tiny_model, options, num_samples):
    made = extractor(**options)
    audio = 0.1 * np.random.default_rng(1).standard_normal(num_samples).astype(np.float32)
    pipe = SampleCNNAudioClassificationPipeline(model=tiny_model, feature_extractor=made)
    expected = pipe(audio, sampling_rate=RATE, return_timestamps=True, hop_length_s=0.015, top_k=None)
    stream = SampleCNNStream(tiny_model, made, hop_length_s=0.015)
    assert stream.hop_length_s == expected["hop_length_s"]
    for seed in (0, 1):  # flush() starts a new stream
        assert_same_rows(stream_rows(stream, audio, seed), expected["chunks"])


@pytest.mark.parametrize("rate", [8000, 44_100, 48_000])
@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy, lambda x: (x * 2**15).astype(np.int16)])
def test_other_rates_and_channels(tiny_model, rate, convert):
    audio = 0.1 * np.random.default_rng(1).standard_normal((rate // 2, 2)).astype(np.float32)
    pipe = SampleCNNAudioClassificationPipeline(model=tiny_model, feature_extractor=extractor())
    expected = pipe(
        {"array": convert(audio), "sampling_rate": rate}, return_timestamps=True, hop_length_s=0.02, top_k=None
    )
    stream = SampleCNNStream(tiny_model, extractor(), hop_length_s=0.02, sampling_rate=rate)
    assert_same_rows(stream_rows(stream, convert(audio)), expected["chunks"])


def test_tensors_in_bfloat16(tiny_model):
    chunk = torch.linspace(-0.5, 0.5, 2000).bfloat16()
    rows = [
        SampleCNNStream(tiny_model, extractor(), hop_length_s=0.02).push(audio)
        for audio in (chunk, chunk.float().numpy())
    ]
    assert_same_rows(*rows)


def test_rows_come_as_soon_as_their_window_is_complete(tiny_model):
    stream = SampleCNNStream(tiny_model, extractor(), hop_length_s=486 / RATE, top_k=2)
    silence = np.zeros(LENGTH + 486, np.float32)
    assert stream.push(silence[: LENGTH - 1]) == []
    (row,) = stream.push(silence[:1])
    assert row["timestamp"] == (0, LENGTH / RATE) and len(row["scores"]) == 2
    assert stream.push(silence[:485]) == []
    assert [row["timestamp"][0] for row in stream.push(silence[: 1 + 972])] == pytest.approx(
        [486 / RATE, 972 / RATE, 1458 / RATE]
    )


def test_memory_of_an_endless_stream(tiny_model):
    stream = SampleCNNStream(tiny_model, extractor(), hop_length_s=0.06)
    for _ in range(20):
        stream.push(np.zeros(5000, np.float32))
        assert stream._rest.base is None or stream._rest.base.size < 10_000


def test_multi_label_model(make_model):
    model = make_model("test-se", num_labels=3, problem_type="multi_label_classification")
    audio = 0.1 * np.random.default_rng(1).standard_normal(LENGTH).astype(np.float32)
    (row,) = SampleCNNStream(model, extractor(), hop_length_s=0.06).push(audio)
    with torch.no_grad():
        expected = model(torch.from_numpy(audio)[None]).logits.sigmoid()[0]
    assert [item["score"] for item in row["scores"]] == pytest.approx(
        sorted(expected.tolist(), reverse=True), abs=1e-5
    )


def test_nothing_was_pushed(tiny_model):
    stream = SampleCNNStream(tiny_model, extractor(), hop_length_s=0.06)
    assert stream.push([]) == stream.flush() == []


@pytest.mark.parametrize(
    "chunk, message",
    [
        (np.zeros((3, 2, 2), np.float32), r"shape \(samples,\) or \(samples, channels\)"),
        (np.zeros((2, 100), np.float32), r"at most 8 channels; got \(2, 100\)"),
        (np.zeros(10, np.int64), "must be float, int16"),
        (np.full(10, np.nan), "NaN"),
    ],
)
def test_chunk_that_is_no_audio(tiny_model, chunk, message):
    with pytest.raises(ValueError, match=message):
        SampleCNNStream(tiny_model, extractor(), hop_length_s=0.06).push(chunk)


def test_damaged_weights(tiny_model):
    tiny_model.classifier.out_proj.bias.data.fill_(np.nan)
    with pytest.raises(ValueError, match="the network's output is not finite"):
        SampleCNNStream(tiny_model, extractor(), hop_length_s=0.06).push(np.zeros(LENGTH, np.float32))


@pytest.mark.parametrize("options", [{"hop_length_s": 1}, {"hop_length_s": 0.05, "sampling_rate": 10}, {"top_k": -1}])
def test_stream_that_cannot_be(tiny_model, options):
    with pytest.raises(ValueError, match="(hop_length_s|sampling_rate|top_k) must be"):
        SampleCNNStream(tiny_model, extractor(), **options)
