import numpy as np
import pytest

from samplecnn_hf import SampleCNNFeatureExtractor
from samplecnn_hf.events_samplecnn import (
    find_events,
    select_labels,
    timeline_extractor,
    timeline_windows,
    window_timestamps,
)

RATE, LENGTH = 1000, 1000


def extractor(**kwargs):
    return SampleCNNFeatureExtractor(**{"sampling_rate": RATE, "segment_length": LENGTH, **kwargs})


@pytest.mark.parametrize(
    "rate, length, hop_length_s, hop_length",
    [
        (22050, 59049, 59049 / 22050 / 3, 19683),
        (22050, 59049, 0.25, 23 * 3**5),  # 5512.5: 1.4 % longer
        (16000, 16000, 0.25, 49 * 3**4),  # 4000: 0.8 % shorter
        (16000, 16000, 1.0, 16000),  # consecutive segments
        (22050, 22050, 1 / 22050, 1),
    ],
)
def test_hops_are_rounded_to_powers_of_three(rate, length, hop_length_s, hop_length):
    made = SampleCNNFeatureExtractor(sampling_rate=rate, segment_length=length)
    assert timeline_extractor(made, hop_length_s).hop_length == hop_length


def test_hops_of_normalized_windows_are_exact():
    assert timeline_extractor(extractor(do_normalize=True), 0.25).hop_length == 250


def test_windows_are_the_segments_without_a_hop():
    assert timeline_extractor(extractor()).hop_length == LENGTH
    assert timeline_extractor(extractor(hop_length=300)).hop_length == 300


@pytest.mark.parametrize("hop_length_s", [0, -1, 0.0001, 1.1, float("nan"), float("inf"), "0.25"])
def test_hop_that_cannot_be(hop_length_s):
    with pytest.raises(ValueError, match=r"from one sample to one segment \(1 s\); got"):
        timeline_extractor(extractor(), hop_length_s)


@pytest.mark.parametrize("options", [{}, {"max_segments": 2}, {"drop_last": True}, {"hop_length": 700}])
@pytest.mark.parametrize("short_clips", ["zero", "tile", "repeat"])
@pytest.mark.parametrize("num_samples", [10, 999, 1000, 1700, 2500, 5001])
@pytest.mark.parametrize("hop_length_s", [None, 0.25, 0.5, 1.0])
def test_windows_of_the_timeline_and_segments_of_the_clip(options, short_clips, num_samples, hop_length_s):
    made = extractor(short_clips=short_clips, do_normalize=True, **options)
    timeline = timeline_extractor(made, hop_length_s)
    waveform = np.random.default_rng(0).random(num_samples)
    found = list(timeline_windows(made, timeline, np.split(waveform, range(300, num_samples, 300))))
    assert np.array_equal([window for window, in_timeline, _ in found if in_timeline], timeline.segment(waveform))
    assert np.array_equal([window for window, _, is_segment in found if is_segment], made.segment(waveform))


def test_the_timeline_covers_the_end():
    made = extractor(drop_last=True)
    assert (len(made.segment(np.ones(1500))), len(timeline_extractor(made).segment(np.ones(1500)))) == (1, 2)


def test_windows_that_are_segments_are_computed_once():
    made = extractor(do_normalize=True)
    windows = timeline_windows(made, timeline_extractor(made, 0.25), [np.random.default_rng(0).random(5000)])
    assert sum(is_segment for *_, is_segment in windows) == 5
    assert len(list(timeline_windows(made, timeline_extractor(made, 0.25), [np.zeros(5000)]))) == 17


def test_windows_need_few_blocks_at_a_time():
    read = []

    def blocks():
        for _ in range(1000):
            read.append(1)
            yield np.random.default_rng(0).random(100)

    made = extractor(max_segments=3)
    for i, _ in enumerate(timeline_windows(made, timeline_extractor(made, 0.1), blocks())):
        assert len(read) <= i + 21


def test_timestamps_end_with_the_clip():
    timestamps = window_timestamps(4, timeline_extractor(extractor(do_normalize=True), 0.5), 2200)
    assert timestamps.tolist() == [[0, 1], [0.5, 1.5], [1, 2], [1.5, 2.2]]


def events_of(active, hop_length_s=0.25, duration=None, **options):
    """Events of one label in windows of 1 s with the given scores."""
    made = timeline_extractor(extractor(do_normalize=True), hop_length_s)
    num_samples = round(1000 * (duration or hop_length_s * (len(active) - 1) + 1))
    timestamps = window_timestamps(len(active), made, num_samples)
    scores = np.array(active, float)[:, None]
    return [
        (*event["timestamp"], event["score"]) for event in find_events(scores, timestamps, ["a"], [0.5], **options)
    ]


def test_event_lasts_for_the_hops_around_the_centers_of_its_windows():
    assert events_of([0, 0, 0.6, 0.9, 0, 0]) == [(0.875, 1.375, 0.9)]
    assert events_of([0, 1, 1, 0], hop_length_s=1) == [(1, 3, 1)]
    assert events_of([1, 1, 0]) == [(0, 0.875, 1)]  # from the start
    assert events_of([0, 0, 1]) == [(0.875, 1.5, 1)]  # to the end
    assert events_of([0, 0, 1], duration=1.3) == [(0.875, 1.3, 1)]
    assert events_of([1], duration=0.3) == [(0, 0.3, 1)]
    assert events_of([0.499, 0.4, 0]) == []


@pytest.mark.parametrize("median_filter_s", [0.75, 0.8])  # three windows
def test_median_filter(median_filter_s):
    active = [0, 0, 0.9, 0, 0, 0.8, 0, 0.7, 0, 0]  # one window, and two of three
    assert events_of(active, median_filter_s=median_filter_s) == [(1.875, 2.125, 0.7)]
    assert len(events_of(active)) == len(events_of(active, median_filter_s=0.25)) == 3


def test_gaps_are_closed_before_short_events_are_dropped():
    active = [0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0]
    assert [event[:2] for event in events_of(active)] == [(0.875, 1.125), (1.375, 1.625), (2.375, 2.625)]
    closed = [(0.875, 1.625, 1), (2.375, 2.625, 1)]
    assert events_of(active, minimum_event_gap_s=0.3) == closed
    assert events_of(active, minimum_event_gap_s=0.25) == events_of(active)
    assert events_of(active, minimum_event_gap_s=0.3, minimum_event_length_s=0.75) == closed[:1]
    assert events_of(active, minimum_event_length_s=0.3) == []


def test_lengths_and_gaps_do_not_depend_on_the_place_in_the_clip():
    timestamps = np.array([(0.1 * i, 0.1 * i + 1) for i in range(40)])
    for first in range(1, 30):
        scores = np.zeros((40, 1))
        scores[[first, first + 1, first + 4, first + 5]] = 1  # two events of 0.2 s with 0.2 s between them
        options = {"minimum_event_length_s": 0.2, "minimum_event_gap_s": 0.2}
        assert len(find_events(scores, timestamps, ["a"], [0.5], **options)) == 2, first


def test_labels_have_their_thresholds_and_events_their_order():
    timestamps = window_timestamps(3, timeline_extractor(extractor(), None), 3000)
    scores = np.array([[0.5, 1.0, 0.3], [0.7, 1.0, 0.2], [0.5, 1.0, 0.4]])
    events = find_events(scores, timestamps, ["a", "never", "c"], [0.6, 1.0, 0.3])
    assert events == [
        {"label": "c", "timestamp": (0, 1), "score": 0.3},
        {"label": "a", "timestamp": (1, 2), "score": 0.7},
        {"label": "c", "timestamp": (2, 3), "score": 0.4},
    ]


def test_selected_labels():
    scores = np.array([[0.2, 0.7, 0.1], [1.0, 0.0, 0.0]])
    assert select_labels(scores, list("abc"), 2, None)[0] == [
        {"score": 0.7, "label": "b"},
        {"score": 0.2, "label": "a"},
    ]
    assert select_labels(scores, list("abc"), None, [1.0, 0.7, 0.5]) == [[{"score": 0.7, "label": "b"}], []]
