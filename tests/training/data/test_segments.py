import numpy as np
import pytest
import soundfile
import torch

from samplecnn_hf import SampleCNNFeatureExtractor
from training.data.segments import (
    EvaluationClips,
    TrainingSegments,
    collate_clips,
    decode_clip,
    decode_clips,
    target_matrix,
)
from training.data.source import Clip, DataError

EXTRACTOR = SampleCNNFeatureExtractor(segment_length=100)


def ramp(length: int) -> np.ndarray:
    return np.arange(1, length + 1, dtype=np.int16)


def test_decoded_clip_is_mono_pcm_at_the_models_rate(tmp_path):
    stereo = np.stack([np.full(44100, 0.5), np.full(44100, 0.25)], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, 44100, subtype="FLOAT")
    pcm = decode_clip(tmp_path / "a.wav", EXTRACTOR)
    assert pcm.dtype == np.int16 and len(pcm) == 22050
    assert pcm[11025] == pytest.approx(0.375 * 2**15, abs=1)


def test_loud_clip_saturates_and_does_not_wrap(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([2.0, -2.0] * 50), 22050, subtype="FLOAT")
    assert set(decode_clip(tmp_path / "a.wav", EXTRACTOR)) == {-(2**15), 2**15 - 1}


def test_order_is_kept_and_a_bad_file_is_named(tmp_path):
    paths = [tmp_path / f"{i}.wav" for i in range(20)]
    for i, path in enumerate(paths):
        soundfile.write(path, np.full(10 + i, 0.1), 22050)
    assert [len(pcm) for pcm in decode_clips(paths, EXTRACTOR, "", disable_progress=True)] == list(range(10, 30))
    paths[3].write_bytes(b"")
    with pytest.raises(DataError, match="3.wav.*mend the file"):
        decode_clips(paths, EXTRACTOR, "", disable_progress=True)


def test_consecutive_segments_cover_every_clip_once():
    segments = TrainingSegments([ramp(250), ramp(40)], torch.eye(2), EXTRACTOR, crop="consecutive")
    assert len(segments) == 4
    heard = [(item["input_values"][0] * 2**15).round().short().numpy() for item in segments]
    np.testing.assert_array_equal(np.concatenate(heard[:3])[:250], ramp(250))
    np.testing.assert_array_equal(heard[3][:40], ramp(40))
    assert [int(item["labels"].argmax()) for item in segments] == [0, 0, 0, 1]


def test_random_segments_start_anywhere_in_the_clip():
    torch.manual_seed(0)
    segments = TrainingSegments([ramp(250)] * 100, torch.eye(100), EXTRACTOR, crop="random")
    assert len(segments) == 300
    starts = [int((segments[i]["input_values"][0, 0] * 2**15).round()) - 1 for i in range(len(segments))]
    assert min(starts) < 10 and max(starts) > 140 and max(starts) <= 150


def test_batch_of_clips_equals_the_feature_extractors():
    clips = [ramp(250), ramp(100), ramp(30)]
    items = EvaluationClips(clips, torch.eye(3), EXTRACTOR)
    batch = collate_clips([items[i] for i in range(3)])
    expected = EXTRACTOR(clips, sampling_rate=22050, return_tensors="pt")
    torch.testing.assert_close(batch["input_values"], expected["input_values"])
    assert torch.equal(batch["attention_mask"], expected["attention_mask"])
    assert torch.equal(batch["labels"], torch.eye(3))


def test_targets():
    clips = [Clip("a", (2,)), Clip("b", (0, 1)), Clip("c", ())]
    assert target_matrix(clips, 3).tolist() == [[0, 0, 1], [1, 1, 0], [0, 0, 0]]
