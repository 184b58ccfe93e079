import numpy as np
import pytest
import torch

from samplecnn_hf import SampleCNNAudioClassificationPipeline, SampleCNNFeatureExtractor, pipeline_samplecnn

RATE, LENGTH = 22050, 1458


@pytest.fixture
def make_pipe(tiny_model):
    """make_pipe(**options): a pipeline with an extractor of these options."""

    def make(model=tiny_model, **options):
        extractor = SampleCNNFeatureExtractor(segment_length=LENGTH, **options)
        return SampleCNNAudioClassificationPipeline(model=model, feature_extractor=extractor, top_k=None)

    return make


@pytest.fixture
def clip(make_tone):
    """Two tones with a pause, 16.3 segments."""
    tone = make_tone(300, seconds=0.4)
    return np.concatenate([tone, np.zeros(6000, np.float32), make_tone(3000, seconds=0.4)])


def columns(rows):
    """Scores of the rows of an output, {label: [scores]}."""
    scores = [{item["label"]: item["score"] for item in row["scores"]} for row in rows]
    return {label: [row[label] for row in scores] for label in scores[0]}


@pytest.mark.parametrize("do_normalize", [False, True])
@pytest.mark.parametrize("hop_length", [1458, 486, 350])
def test_chunks_are_the_windows(make_pipe, tiny_model, clip, do_normalize, hop_length):
    pipe = make_pipe(do_normalize=do_normalize)
    output = pipe(clip, sampling_rate=RATE, return_timestamps=True, hop_length_s=hop_length / RATE)
    hop = round(output["hop_length_s"] * RATE)
    assert hop == hop_length if do_normalize or hop_length % 3 == 0 else hop == 351
    assert len(output["chunks"]) == -(-(len(clip) - LENGTH) // hop) + 1
    for i, chunk in enumerate(output["chunks"]):
        start = i * hop
        assert chunk["timestamp"] == pytest.approx((start / RATE, min(start + LENGTH, len(clip)) / RATE))
        expected = pipe(clip[start : start + LENGTH], sampling_rate=RATE)
        assert [item["label"] for item in chunk["scores"]] == [item["label"] for item in expected]
        assert [item["score"] for item in chunk["scores"]] == pytest.approx(
            [item["score"] for item in expected], abs=1e-5
        )


@pytest.mark.parametrize("hop_length", [None, 1458, 486, 350])
@pytest.mark.parametrize("options", [{}, {"max_segments": 3}, {"drop_last": True}, {"do_normalize": True}])
def test_scores_of_the_clip_are_those_without_timestamps(make_pipe, clip, assert_same, hop_length, options):
    pipe = make_pipe(**options)
    output = pipe(clip, sampling_rate=RATE, return_timestamps=True, hop_length_s=hop_length and hop_length / RATE)
    assert_same(output["scores"], pipe(clip, sampling_rate=RATE))


def test_windows_are_the_segments_by_default(make_pipe, tiny_model, clip):
    output = make_pipe()(clip, sampling_rate=RATE, return_timestamps=True)
    assert output.keys() == {"scores", "hop_length_s", "chunks"}
    assert output["hop_length_s"] == LENGTH / RATE
    means = {label: np.mean(scores) for label, scores in columns(output["chunks"]).items()}
    assert means == pytest.approx({item["label"]: item["score"] for item in output["scores"]}, abs=1e-6)


@pytest.mark.parametrize("seconds", [0.001, 0.06, 0.07])
@pytest.mark.parametrize("short_clips", ["zero", "tile", "repeat"])
def test_short_clips(make_pipe, make_tone, assert_same, seconds, short_clips):
    pipe, tone = make_pipe(short_clips=short_clips, max_segments=2), make_tone(seconds=seconds)
    output = pipe(tone, sampling_rate=RATE, return_timestamps=True)
    assert output["chunks"][-1]["timestamp"][1] == pytest.approx(len(tone) / RATE)
    assert_same(output["scores"], pipe(tone, sampling_rate=RATE))


def test_batches_and_small_groups(make_pipe, clip, make_tone, monkeypatch):
    pipe = make_pipe()
    clips = [clip, make_tone(seconds=0.01), clip[:5000], make_tone(700, seconds=2)]
    options = {"sampling_rate": RATE, "return_timestamps": True, "events": True, "hop_length_s": 0.02}
    expected = [pipe(each, **options) for each in clips]
    monkeypatch.setattr(pipeline_samplecnn, "GROUP_SAMPLES", 5 * LENGTH)
    for batch_size in (1, 3):
        for output, other in zip(pipe(clips, batch_size=batch_size, **options), expected, strict=True):
            assert [chunk["timestamp"] for chunk in output["chunks"]] == [
                chunk["timestamp"] for chunk in other["chunks"]
            ]
            for label, scores in columns(other["chunks"]).items():
                assert columns(output["chunks"])[label] == pytest.approx(scores, abs=1e-5)


def test_labels_of_chunks_are_selected_as_those_of_the_clip(make_pipe, clip):
    pipe = make_pipe()
    every = pipe(clip, sampling_rate=RATE, return_timestamps=True)["chunks"]
    two = pipe(clip, sampling_rate=RATE, return_timestamps=True, top_k=2)
    assert len(two["scores"]) == 2
    assert [chunk["scores"] for chunk in two["chunks"]] == [chunk["scores"][:2] for chunk in every]
    threshold = every[0]["scores"][1]["score"]
    reached = pipe(clip, sampling_rate=RATE, return_timestamps=True, threshold=threshold)
    assert reached["chunks"][0]["scores"] == every[0]["scores"][:2]


class TonesModel(torch.nn.Module):
    """Replaces a network: certain of label 0 in windows with sound, else of label 1."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_values, attention_mask=None):
        loud = input_values.abs().mean(-1) > 0.05
        segment_logits = torch.full((*loud.shape, self.model.config.num_labels), -8.0)
        segment_logits[..., 0], segment_logits[..., 1] = 16 * loud - 8, 8 - 16 * loud
        return type("Output", (), {"segment_logits": segment_logits})


@pytest.fixture
def tone_events(make_model, clip, monkeypatch):
    """tone_events(thresholds=None, **options): the output for two tones."""

    def make(thresholds=None, **options):
        model = make_model("test-se", num_labels=3, problem_type="multi_label_classification", thresholds=thresholds)
        extractor = SampleCNNFeatureExtractor(segment_length=LENGTH, do_normalize=False)
        pipe = SampleCNNAudioClassificationPipeline(model=model, feature_extractor=extractor)
        forward = TonesModel(model).forward
        monkeypatch.setattr(model, "forward", forward)
        monkeypatch.setattr(
            pipeline_samplecnn, "timeline_logits", lambda model, timeline, x, *args: forward(x).segment_logits
        )
        return pipe(clip, sampling_rate=RATE, events=True, hop_length_s=243 / RATE, **options)

    return make


def test_events(tone_events, clip):
    output = tone_events()
    assert output.keys() == {"scores", "hop_length_s", "events"}
    assert [event["label"] for event in output["events"]] == ["LABEL_0", "LABEL_1", "LABEL_0"]
    limits = [0, 0.4, 0.4 + 6000 / RATE, len(clip) / RATE]
    for event, onset, offset in zip(output["events"], limits[:-1], limits[1:], strict=True):
        assert event["timestamp"] == pytest.approx((onset, offset), abs=0.04)
        assert event["score"] == pytest.approx(1, abs=1e-3)


def test_thresholds_and_options_of_events(tone_events):
    assert len(tone_events(threshold=0.0)["events"]) == 3
    assert len(tone_events(threshold=0.0, minimum_event_length_s=0.5)["events"]) == 3
    assert len(tone_events(threshold=0.0, minimum_event_length_s=1.5)["events"]) == 0
    assert [event["label"] for event in tone_events([0.5, 1.0, 0.5])["events"]] == ["LABEL_0", "LABEL_0"]
    assert len(tone_events([0.5, 1.0, 0.5], threshold=0.5)["events"]) == 3
    assert len(tone_events([0.5, 1.0, 0.5], minimum_event_gap_s=0.4)["events"]) == 1
    assert len(tone_events([0.5, 1.0, 0.5], median_filter_s=2.0)["events"]) == 1


def test_everything_at_once(tone_events):
    output = tone_events(return_timestamps=True)
    assert output.keys() == {"scores", "hop_length_s", "chunks", "events"}


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"hop_length_s": 0.02}, ValueError, "needs return_timestamps=True or events=True"),
        ({"hop_length_s": 2, "events": True}, ValueError, "from one sample to one segment"),
        ({"median_filter_s": -1, "events": True}, ValueError, "median_filter_s must be a number of seconds; got -1"),
        ({"minimum_event_gap_s": "1", "events": True}, ValueError, "minimum_event_gap_s must be a number of seconds"),
        ({"return_timestamp": True}, TypeError, "unknown argument return_timestamp"),
    ],
)
def test_arguments_that_cannot_be(make_pipe, clip, options, error, message):
    with pytest.raises(error, match=message):
        make_pipe()(clip, sampling_rate=RATE, **options)


def test_unreadable_input(make_pipe, clip):
    outputs = make_pipe()([clip, "missing.wav"], return_timestamps=True, on_error="return", batch_size=2)
    assert "chunks" in outputs[0] and "missing.wav" in outputs[1]["error"]
