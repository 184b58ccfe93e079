from pathlib import Path

import numpy as np
import pytest
import torch

from samplecnn_hf import SampleCNNFeatureExtractor
from training.data.segments import EvaluationClips, TrainingSegments, collate_clips, target_matrix
from training.recipe import parse_recipe

RECIPES = Path(__file__).parents[3] / "training" / "recipes" / "dcase2017"
EXTRACTOR = SampleCNNFeatureExtractor(segment_length=100)


def ramp(length: int) -> np.ndarray:
    return np.arange(1, length + 1, dtype=np.int16)


class Clips(list):
    """Prepared clips without files: clip i has the label i."""

    @property
    def num_samples(self):
        return [len(waveform) for waveform in self]

    @property
    def labels(self):
        return [[i] for i in range(len(self))]


def to_pcm(item) -> np.ndarray:
    return (item["input_values"][0] * 2**15).round().short().numpy()


def test_consecutive_segments_cover_every_clip_once():
    segments = TrainingSegments(Clips([ramp(250), ramp(40)]), 2, EXTRACTOR, crop="consecutive")
    assert len(segments) == 4
    heard = [to_pcm(item) for item in segments]
    np.testing.assert_array_equal(np.concatenate(heard[:3])[:250], ramp(250))
    assert not heard[2][50:].any()
    np.testing.assert_array_equal(heard[3][:40], ramp(40))
    assert [int(item["labels"].argmax()) for item in segments] == [0, 0, 0, 1]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"short_clips": "tile"},
        {"drop_last": True},
        {"max_segments": 2},
        {"short_clips": "repeat"},
        {"short_clips": "repeat", "max_segments": 3, "drop_last": True},
    ],
)
def test_consecutive_segments_are_those_of_the_evaluation(options):
    extractor = SampleCNNFeatureExtractor(segment_length=100, **options)
    clips = Clips([ramp(250), ramp(100), ramp(30)])
    trained = [item["input_values"][0] for item in TrainingSegments(clips, 3, extractor, crop="consecutive")]
    evaluated = [segment for item in EvaluationClips(clips, 3, extractor) for segment in item["input_values"]]
    torch.testing.assert_close(torch.stack(trained), torch.stack(evaluated))


def test_segments_overlap_in_evaluation_only():
    extractor = SampleCNNFeatureExtractor(segment_length=100, hop_length=50)
    clips = Clips([ramp(300)])
    assert [int(to_pcm(item)[0]) for item in TrainingSegments(clips, 1, extractor, "consecutive")] == [1, 101, 201]
    (clip,) = EvaluationClips(clips, 1, extractor)
    assert len(clip["input_values"]) == 5


def test_random_segments_start_anywhere_in_the_clip():
    torch.manual_seed(0)
    segments = TrainingSegments(Clips([ramp(250)] * 100), 100, EXTRACTOR, crop="random")
    assert len(segments) == 300
    starts = [int(to_pcm(segments[i])[0]) - 1 for i in range(len(segments))]
    assert min(starts) < 10 and max(starts) > 140 and max(starts) <= 150


def test_batch_of_clips_equals_the_feature_extractors():
    clips = Clips([ramp(250), ramp(100), ramp(30)])
    items = EvaluationClips(clips, 3, EXTRACTOR)
    batch = collate_clips([items[i] for i in range(3)])
    expected = EXTRACTOR(list(clips), sampling_rate=22050, return_tensors="pt")
    torch.testing.assert_close(batch["input_values"], expected["input_values"])
    assert torch.equal(batch["attention_mask"], expected["attention_mask"])
    assert torch.equal(batch["labels"], torch.eye(3))


def test_targets():
    assert target_matrix([(2,), (0, 1), ()], 3).tolist() == [[0, 0, 1], [1, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize("name", ["paper", "code"])
def test_an_epoch_of_the_papers_scenes(paper, name):
    """46,042 + 5,618 clips of any duration up to 10 s: 516,600 segments, as many as in the authors' code."""
    recipe = parse_recipe([f"--recipe={RECIPES / name}.yaml", "--data_dir=data", "--output_dir=run"])
    extractor = recipe.create_feature_extractor(recipe.create_config(["a", "b"], "multi_label_classification"))
    sizes = paper["datasets"]["dcase2017"]["splits"]
    rng = np.random.default_rng(0)
    num_segments = 0
    for split in ("train", "validation"):
        durations = rng.integers(1, 10 * 22050 + 500, sizes[split])
        num_segments += sum(len(extractor.segment_starts(int(duration))) for duration in durations)
    assert num_segments == 10 * (46_042 + 5_618) == 516_600


def test_short_scenes_are_heard_slower():
    extractor = SampleCNNFeatureExtractor(segment_length=100, max_segments=10, drop_last=True, short_clips="repeat")
    (item,) = EvaluationClips(Clips([ramp(600)]), 1, extractor)
    np.testing.assert_array_equal((item["input_values"] * 2**15).round().flatten(), np.repeat(ramp(600), 2)[:1000])
