import numpy as np
import pytest

from samplecnn_hf import KeywordDetector, SampleCNNConfig
from samplecnn_hf.keywords import detections, is_spotter

LABELS = ["_silence_", "_unknown_", "go", "stop"]


def config(thresholds=(1.0, 1.0, 0.6, 0.6), labels=LABELS):
    return SampleCNNConfig(
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
        thresholds=thresholds and list(thresholds),
    )


def rows_of(scores):
    """Rows of windows of 1 s every 0.25 s with scores [windows, labels]."""
    return [
        {
            "timestamp": (0.25 * i, 0.25 * i + 1),
            "scores": [{"label": label, "score": float(score)} for label, score in zip(LABELS, row, strict=True)],
        }
        for i, row in enumerate(scores)
    ]


def detect_all(scores, **options):
    detect = KeywordDetector(options.pop("config", config()), **options)
    return [found for row in rows_of(scores) if (found := detect(row)) is not None]


@pytest.mark.parametrize(
    ("spotter", "expected"),
    [
        (config(), True),
        (config(thresholds=None), False),
        (config(thresholds=[0.5, 0.5], labels=["go", "stop"]), False),
        (config(thresholds=[0.5, 0.5], labels=["go", "_unknown_"]), True),
    ],
)
def test_spotters_have_thresholds_and_labels_that_are_no_keywords(spotter, expected):
    assert is_spotter(spotter) == expected


def test_detections_are_apart():
    scores = np.zeros(40)
    scores[3:12], scores[20] = 0.9, 0.8
    assert detections(scores, 0.85, 4) == [3, 7, 11]
    assert detections(scores, 0.8, 4) == [3, 7, 11, 20]
    assert detections(scores, 0.95, 4) == []


def test_detection():
    found = detect_all([[0.9, 0.1, 0, 0], [0.1, 0, 0.3, 0.6], [0.1, 0, 0.2, 0.7], [1, 0, 0, 0]])
    assert found == [{"label": "stop", "timestamp": (0.25, 1.25), "score": 0.6}]


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("refractory_s", [0, 0.25, 1.0, 3.0])
def test_detections_are_those_of_the_offline_count(threshold, refractory_s):
    scores = np.random.default_rng(0).dirichlet([0.3] * 4, 2000)
    found = detect_all(scores, threshold=threshold, refractory_s=refractory_s)
    expected = detections(scores[:, 2:].max(1), threshold, round(refractory_s / 0.25))
    assert [round(each["timestamp"][0] / 0.25) for each in found] == expected
    assert [each["label"] for each in found] == [["go", "stop"][scores[i, 2:].argmax()] for i in expected]


def test_keywords_have_their_thresholds():
    scores = [[0, 0, 0.5, 0.4], *[[1, 0, 0, 0]] * 4, [0, 0, 0.4, 0.5]]
    assert [each["label"] for each in detect_all(scores, config=config((1, 1, 0.45, 0.6)))] == ["go"]
    assert [each["label"] for each in detect_all(scores, threshold=0.5)] == ["go", "stop"]


def test_smoothing_ignores_single_windows():
    single, word = [0, 0, 0, 0.9], [0, 0, 0.9, 0]
    scores = [[1, 0, 0, 0], single, *[[1, 0, 0, 0]] * 6, word, word, word]
    assert [each["label"] for each in detect_all(scores)] == ["stop", "go"]
    (found,) = detect_all(scores, smoothing_s=0.75, threshold=0.65)
    assert found["label"] == "go" and found["timestamp"] == (2.5, 3.5) and found["score"] == pytest.approx(0.9)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"config": config(None)}, "no tuned thresholds, .*: give a number"),
        ({"threshold": 80}, "threshold must be a number from 0 to 1"),
        ({"config": config([1.0, 1.0], LABELS[:2])}, "no keywords"),
        ({"smoothing_s": -1}, "times must not be negative"),
    ],
)
def test_detector_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        KeywordDetector(**{"config": config(), **options})


def test_rows_without_all_labels():
    row = rows_of([[0, 0, 0, 1]])[0]
    with pytest.raises(ValueError, match="pass top_k=None"):
        KeywordDetector(config())({**row, "scores": row["scores"][:3]})
