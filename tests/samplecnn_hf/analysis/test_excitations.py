import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from transformers.dynamic_module_utils import get_class_from_dynamic_module

from samplecnn_hf import SampleCNNFeatureExtractor, SampleCNNModel
from samplecnn_hf.analysis import ClassExcitations, ClipExcitations, ExcitationRecorder, class_excitations

NAMES = ["low", "middle", "high"]


def clip_of(*blocks, rms=(0.1,)):
    blocks = tuple(np.array(block, dtype=np.float32) for block in blocks)
    return ClipExcitations(np.array(rms), blocks, blocks)


@pytest.mark.parametrize("variant", ["test-se", "test-rese1", "test-rese2"])
def test_excitations_are_those_of_the_model(make_model, tiny_extractor, make_tone, variant):
    model = make_model(variant)
    tone = make_tone(seconds=0.3, sampling_rate=44100)
    clip = ExcitationRecorder(model, tiny_extractor)(tone, 44100)
    features = tiny_extractor(tone, sampling_rate=44100, return_tensors="pt")
    with torch.no_grad():
        expected = model(**features, output_excitations=True).excitations
    assert len(clip.excitations) == len(clip.magnitudes) == 5
    for ours, magnitudes, theirs in zip(clip.excitations, clip.magnitudes, expected, strict=True):
        np.testing.assert_allclose(ours, theirs[0].numpy(), atol=1e-6)
        assert magnitudes.shape == ours.shape == (len(clip.rms), theirs.shape[-1])


def test_magnitudes_are_what_the_excitation_multiplies(make_model, tiny_extractor, make_tone):
    model = make_model("test-se", SampleCNNModel)
    tone = make_tone(seconds=0.3)
    clip = ExcitationRecorder(model, tiny_extractor)(tone, 22050)
    features = tiny_extractor(tone, sampling_rate=22050, return_tensors="pt")
    with torch.no_grad():
        states = model(**features, output_hidden_states=True).hidden_states[1:]
    for magnitudes, excitations, output in zip(clip.magnitudes, clip.excitations, states, strict=True):
        np.testing.assert_allclose(magnitudes * excitations, output[0].mean(-1).numpy(), atol=1e-5)


def test_loudness_is_that_of_the_sound_not_of_the_normalized_input(tiny_model, make_tone):
    extractor = SampleCNNFeatureExtractor(segment_length=1458, do_normalize=True, drop_last=True)
    record = ExcitationRecorder(tiny_model, extractor)
    loud, quiet = (record(make_tone(amplitude=amplitude), 22050) for amplitude in (0.5, 0.05))
    np.testing.assert_allclose(loud.rms, 0.5 / 2**0.5, rtol=0.01)
    np.testing.assert_allclose(loud.rms, 10 * quiet.rms, rtol=1e-4)
    np.testing.assert_allclose(loud.excitations[0], quiet.excitations[0], atol=1e-3)


def test_one_clip_does_not_leak_into_the_next(tiny_model, tiny_extractor, make_tone):
    record = ExcitationRecorder(tiny_model, tiny_extractor)
    first, again = (record(make_tone(seconds=0.3), 22050) for _ in range(2))
    short = record(make_tone(seconds=0.05), 22050)
    assert len(first.rms) == 5 and len(short.excitations[0]) == len(short.rms) == 1
    assert np.array_equal(first.excitations[4], again.excitations[4])


def test_int16_and_stereo_clips(tiny_model, tiny_extractor, make_tone):
    record = ExcitationRecorder(tiny_model, tiny_extractor)
    tone = make_tone()
    pcm = np.round(np.stack([tone, tone], axis=1) * 32768).astype(np.int16)
    np.testing.assert_allclose(record(pcm, 22050).excitations[0], record(tone, 22050).excitations[0], atol=1e-3)


@pytest.mark.parametrize("training", [False, True])
def test_the_model_is_left_as_it_was(make_model, tiny_extractor, make_tone, training):
    model = make_model("test-rese2")
    expected = ExcitationRecorder(model, tiny_extractor)(make_tone(), 22050)
    model.train(training)
    before = copy.deepcopy(model)
    clip = ExcitationRecorder(model, tiny_extractor)(make_tone(), 22050)
    assert np.array_equal(clip.excitations[4], expected.excitations[4])
    for (name, tensor), (_, old) in zip(model.state_dict().items(), before.state_dict().items(), strict=True):
        assert torch.equal(tensor, old), name
    for module, old in zip(model.modules(), before.modules(), strict=True):
        assert module.training == old.training and not module._forward_hooks
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("one_recorder", [True, False])
def test_threads_share_a_model_or_a_recorder(tiny_model, tiny_extractor, make_tone, one_recorder):
    tones = [make_tone(200 * (i + 1), seconds=0.5) for i in range(8)]
    shared = ExcitationRecorder(tiny_model, tiny_extractor)
    expected = [shared(tone, 22050).excitations[4] for tone in tones]

    def work(tone):
        record = shared if one_recorder else ExcitationRecorder(tiny_model, tiny_extractor)
        return record(tone, 22050).excitations[4]

    with ThreadPoolExecutor(max_workers=4) as pool:
        for excitations, alone in zip(pool.map(work, tones), expected, strict=True):
            np.testing.assert_allclose(excitations, alone, atol=1e-6)


def test_a_model_optimized_for_inference(tiny_model, tiny_extractor):
    with pytest.raises(ValueError, match="optimized for inference: load it again"):
        ExcitationRecorder(tiny_model.optimize_for_inference(), tiny_extractor)


@pytest.mark.parametrize("variant", ["test-basic", "test-res2"])
def test_networks_without_excitations(make_model, tiny_extractor, variant):
    with pytest.raises(ValueError, match=f"'{variant.removeprefix('test-')}' blocks has no excitations.*se-9"):
        ExcitationRecorder(make_model(variant), tiny_extractor)


def test_means_of_classes():
    one, two = [[0.2, 0.4], [0.4, 0.4]], [[0.5, 0.1]]  # two segments of two channels, and one
    clips = [
        (clip_of(one, rms=[0.1, 0.3]), [0]),
        (clip_of(two, rms=[0.4]), [0]),
        (clip_of(two, rms=[0.4]), [2]),
    ]
    statistics = class_excitations(iter(clips), NAMES)
    assert statistics.names == tuple(NAMES)
    assert statistics.num_clips.tolist() == [2, 0, 1]
    np.testing.assert_allclose(statistics.rms, [0.3, np.nan, 0.4])
    # a clip counts once, however long it is
    np.testing.assert_allclose(statistics.excitations[0], [[0.4, 0.25], [np.nan] * 2, [0.5, 0.1]], rtol=1e-6)
    np.testing.assert_allclose(statistics.deviations(), [(0.05 + 0.075) / 2], rtol=1e-5)


def test_a_clip_of_several_classes_counts_for_each():
    statistics = class_excitations([(clip_of([[0.2]]), [0, 2]), (clip_of([[0.4]]), (2,))], NAMES)
    assert statistics.num_clips.tolist() == [1, 0, 2]
    np.testing.assert_allclose(statistics.excitations[0][[0, 2]], [[0.2], [0.3]], rtol=1e-6)


def test_deviations_are_one_for_each_block():
    statistics = class_excitations(
        [(clip_of([[0.2, 0.2]], [[0.5]]), [0]), (clip_of([[0.4, 0.2]], [[0.5]]), [1])], NAMES
    )
    np.testing.assert_allclose(statistics.deviations(), [0.05, 0.0], atol=1e-7)


def test_quiet_medium_loud():
    def chosen(levels, num_clips):
        return ClassExcitations(("",) * len(levels), np.array(num_clips), np.array(levels), ()).quiet_medium_loud()

    assert chosen([0.3, 0.1, 0.5, 0.2, 0.4], [1] * 5) == [1, 0, 2]
    assert chosen([0.3, np.nan, 0.5, 0.2], [1, 0, 1, 1]) == [3, 0, 2]
    assert chosen([0.3, 0.1], [1, 1]) == [1, 0]


def test_curves_have_their_channels_sorted_by_mean():
    excitations = np.array([[0.9, 0.1, 0.5], [0.5, 0.3, 0.2], [0.0, 0.0, 9.0]])
    statistics = ClassExcitations(tuple(NAMES), np.ones(3), np.ones(3), (excitations * 0, excitations))
    np.testing.assert_array_equal(statistics.curves([0, 1], block=1), [[0.1, 0.5, 0.9], [0.3, 0.2, 0.5]])


@pytest.mark.parametrize(
    "clips, message",
    [([], "there are no clips"), ([(clip_of([[0.1]]), [3])], r"\[3\], but there are 3 names")],
)
def test_wrong_clips(clips, message):
    with pytest.raises(ValueError, match=message):
        class_excitations(clips, NAMES)


def test_a_model_with_the_code_of_its_folder(tmp_path, tiny_model, tiny_extractor, make_tone):
    tiny_model.save_pretrained(tmp_path)
    tiny_extractor.save_pretrained(tmp_path)
    model, extractor = (
        get_class_from_dynamic_module(name, str(tmp_path)).from_pretrained(tmp_path)
        for name in (
            "modeling_samplecnn.SampleCNNForAudioClassification",
            "feature_extraction_samplecnn.SampleCNNFeatureExtractor",
        )
    )
    assert type(model) is not type(tiny_model) and type(extractor) is not type(tiny_extractor)
    clip = ExcitationRecorder(model, extractor)(make_tone(), 22050)
    expected = ExcitationRecorder(tiny_model, tiny_extractor)(make_tone(), 22050)
    np.testing.assert_allclose(clip.magnitudes[2], expected.magnitudes[2], atol=1e-6)
