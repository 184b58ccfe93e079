import numpy as np
import pytest
import torch
from datasets import Dataset, concatenate_datasets

from samplecnn_hf import SampleCNNFeatureExtractor
from training.data.prepared import FEATURES, PreparedClips
from training.errors import RecipeError
from training.loop.detection import (
    Scores,
    count_detections,
    det_curve,
    evaluate_detection,
    keyword_accuracy,
    plot_det_curve,
    score_clips,
    stream_extractor,
    tune_threshold,
)

RATE = 4000  # Hz
LABELS = ["_silence_", "_unknown_", "go", "stop"]
TONES = {"_silence_": 0.0, "_unknown_": 300.0, "go": 700.0, "stop": 1500.0}  # Hz


class TonesNetwork(torch.nn.Module):
    """A network that is certain of the label whose tone is the loudest in a window."""

    def __init__(self, make_model):
        super().__init__()
        self.config = make_model("test-se", num_labels=len(LABELS)).config
        self.device = torch.device("cpu")

    def forward(self, input_values):
        time = torch.arange(input_values.shape[1]) / RATE
        energy = [(input_values * torch.exp(2j * torch.pi * hertz * time)).mean(1).abs() for hertz in TONES.values()]
        energy[0] = torch.full_like(energy[0], 0.04)
        return type("Output", (), {"logits": 100 * torch.stack(energy, 1)})


@pytest.fixture
def network(make_model):
    return TonesNetwork(make_model)


@pytest.fixture
def extractor():
    return SampleCNNFeatureExtractor(sampling_rate=RATE, segment_length=RATE)


def clips_of(*named: tuple[str | None, float]) -> PreparedClips:
    """Clips of the tone of a label (None: a clip without labels, silent) with the given duration in seconds."""
    rows = []
    for label, seconds in named:
        time = np.arange(round(seconds * RATE)) / RATE
        tone = 10_000 * np.sin(2 * np.pi * TONES.get(label, 0.0) * time)
        rows.append(
            {
                "file": f"{label}.wav",
                "labels": [] if label is None else [LABELS.index(label)],
                "pcm": tone.astype(np.int16),
                "num_samples": len(time),
                "source_rate": RATE,
                "problem": None,
            }
        )
    return prepared(rows)


def prepared(rows: list[dict]) -> PreparedClips:
    """As in a shard, each clip is a batch of its own."""
    return PreparedClips(concatenate_datasets([Dataset.from_list([row], features=FEATURES) for row in rows]))


def test_detections_are_at_least_a_second_apart():
    scores = np.zeros(40)
    scores[3:12] = 0.9  # 9 windows of 0.25 s: detections at windows 3, 7 and 11
    scores[20] = 0.8
    assert count_detections(scores, 0.85) == 3
    assert count_detections(scores, 0.8) == 4
    assert count_detections(scores, 0.95) == 0


@pytest.mark.parametrize("hours", [0.5, 1.0, 3.0])
def test_threshold_is_the_lowest_with_one_false_alarm_per_hour(hours):
    scores = np.random.default_rng(0).random(1000) ** 4
    threshold = tune_threshold(scores, hours)
    assert count_detections(scores, threshold) <= hours
    assert count_detections(scores, np.nextafter(threshold, 0)) > hours


def test_threshold_of_certain_false_alarms_is_one():
    assert tune_threshold(np.ones(100), 1.0) == 1.0


def test_streaming_hops(extractor):
    assert len(stream_extractor(extractor).segment(np.zeros(10 * RATE))) == 4 * 9 + 1
    with pytest.raises(RecipeError, match="segments of at least 0.25 s"):
        stream_extractor(SampleCNNFeatureExtractor(sampling_rate=RATE, segment_length=RATE // 5))


def test_scores_of_clips(network, extractor):
    clips = clips_of(("go", 1), ("stop", 0.8), ("_unknown_", 7.2), ("_silence_", 10.8), (None, 18))
    scores = score_clips(network, extractor, LABELS, clips)
    assert scores.hours == pytest.approx(0.01)
    assert len(scores.others) == 4 * 35 + 1
    assert (scores.keywords > 0.99).all() and scores.keywords.shape == (2,)
    assert scores.others.max() < 0.1


def test_a_keyword_that_is_taken_for_another_one_is_missed(network, extractor):
    clips = clips_of(("go", 1))
    clips.labels = [[LABELS.index("stop")]]
    assert score_clips(network, extractor, LABELS, clips).keywords.tolist() == [0]


def test_evaluation_tunes_on_validation_and_background(network, extractor):
    clips = {
        "validation": clips_of(("go", 1), ("_unknown_", 60)),
        "test": clips_of(("go", 1), ("stop", 1), ("_unknown_", 60)),
        "recordings": clips_of(("go", 1), ("stop", 1)),
        "background": clips_of(("stop", 5), (None, 60)),  # a background recording with false alarms
    }
    clips["background"].labels = [[], []]
    detection = evaluate_detection(network, extractor, LABELS, clips)
    assert detection["threshold"] > 0.99
    assert network.config.thresholds == [1, 1, detection["threshold"], detection["threshold"]]
    assert detection["splits"]["validation"]["hours_without_keywords"] == pytest.approx(125 / 3600)
    assert detection["splits"]["validation"]["false_alarms_per_hour"] == 0
    assert detection["splits"]["recordings"]["false_alarms_per_hour"] is None
    assert set(detection["curve"]) == {"test", "recordings"}

    del clips["background"]
    detection = evaluate_detection(network, extractor, LABELS, clips)
    assert detection["threshold"] < 0.1
    test = detection["splits"]["test"]
    assert (test["keyword_clips"], test["false_alarms_per_hour"], test["miss_rate"]) == (2, 0, 0)


def test_curve_trades_misses_for_false_alarms():
    rng = np.random.default_rng(0)
    rows = det_curve(Scores(keywords=rng.beta(5, 1, 500), others=rng.beta(1, 5, 20_000), hours=1.4))
    misses, alarms = ([row[name] for row in rows] for name in ("miss_rate", "false_alarms_per_hour"))
    assert misses == sorted(misses) and misses[0] == 0 and misses[-1] > 0.98
    assert alarms == sorted(alarms, reverse=True) and alarms[0] > alarms[-1]


def test_figure_has_a_curve_per_split_that_can_be_drawn(network, extractor):
    clips = {split: clips_of(("go", 1), ("_unknown_", 60)) for split in ("validation", "test")}
    detection = evaluate_detection(network, extractor, LABELS, {**clips, "recordings": clips_of(("go", 1))})
    (axes,) = plot_det_curve(detection).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["test (0.02 h, 1 clips)"]


def test_keyword_accuracy_leaves_out_silence_and_unknown():
    targets = torch.eye(4)
    logits = torch.tensor([[0.0, 0, 9, 0], [0, 0, 9, 0], [5, 0, 2, 1], [0, 5, 2, 1]])
    assert keyword_accuracy(logits, targets, LABELS) == 0.5
    assert keyword_accuracy(logits[:2], targets[:2], LABELS) is None
