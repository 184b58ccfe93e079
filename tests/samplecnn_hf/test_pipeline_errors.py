"""What the pipeline does with arguments and inputs that are wrong, or nearly so."""

import numpy as np
import pytest
import torch
from transformers import pipeline

from samplecnn_hf import SampleCNNAudioClassificationPipeline, pipeline_samplecnn
from samplecnn_hf.audio_samplecnn import warn_once

RATE = 22050


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_sampling_rate(pipe, tiny_model, tiny_extractor, make_tone, expected, rate, assert_same):
    clip = make_tone(sampling_rate=rate)
    answer = pipe({"array": clip, "sampling_rate": rate})
    assert_same(answer, expected, 0.02)
    assert pipe(clip, sampling_rate=rate) == answer
    assert pipe([clip, torch.from_numpy(clip)], sampling_rate=rate) == [answer, answer]
    assert pipe({"array": clip}, sampling_rate=rate) == answer
    assert pipe({"array": clip, "sampling_rate": rate}, sampling_rate=rate) == answer
    always = SampleCNNAudioClassificationPipeline(
        model=tiny_model, feature_extractor=tiny_extractor, top_k=None, sampling_rate=rate
    )
    assert always(clip) == answer
    assert always(clip, sampling_rate=RATE) == pipe(clip, sampling_rate=RATE)


def test_a_waveform_without_a_rate_is_taken_at_the_models_with_one_warning(pipe, tone, caplog):
    warn_once.cache_clear()
    answers = [pipe(tone), pipe(tone)]
    assert answers == [pipe(tone, sampling_rate=RATE)] * 2
    assert len(caplog.messages) == 1
    assert "assumed to be at 22050 Hz" in caplog.messages[0]


ARGUMENTS = ("top_k", "threshold", "function_to_apply", "sampling_rate", "on_error", "batch_size")


@pytest.mark.parametrize("name", ["sample_rate", "topk", "language", "chunk_length_s"])
def test_unknown_arguments_are_type_errors_that_name_those_there_are(pipe, tmp_path, tone, name):
    pipe.save_pretrained(tmp_path)
    for call in (
        lambda: pipe(tone, **{name: 1}),
        lambda: SampleCNNAudioClassificationPipeline.from_pretrained(tmp_path, **{name: 1}),
        lambda: pipeline("audio-classification", model=str(tmp_path), trust_remote_code=True, **{name: 1}),
    ):
        with pytest.raises(TypeError, match=f"unknown argument {name}") as error:
            call()
        assert all(argument in str(error.value) for argument in ARGUMENTS)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "arguments",
    [{"top_k": 0}, {"top_k": -1}, {"top_k": "2"}, {"top_k": 1.5}, {"top_k": True}, {"on_error": "ignore"}]
    + [{"function_to_apply": "relu"}, {"sampling_rate": "16000"}, {"sampling_rate": 0}],
)
def test_wrong_arguments_are_refused_by_name(pipe, tone, arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        pipe(tone, **arguments)


def test_what_pipeline_passes_on(pipe, tmp_path, tone, assert_same):
    pipe.save_pretrained(tmp_path)
    options = {"trust_remote_code": True, "local_files_only": True, "device": "cpu", "dtype": "auto", "batch_size": 2}
    assert_same(pipeline("audio-classification", model=str(tmp_path), top_k=None, **options)(tone), pipe(tone))


@pytest.fixture
def mixed(tmp_path, write_tone, tone):
    """Inputs and, where they cannot be read, what the error says."""
    (tmp_path / "notes.wav").write_text("not audio")
    cut_off = write_tone("long.wav", seconds=3)
    cut_off.write_bytes(cut_off.read_bytes()[:-30_000])
    return [
        (str(write_tone("good.wav")), None),
        (str(tmp_path / "notes.wav"), "notes.wav' cannot be read as audio"),
        (str(tmp_path / "nowhere.wav"), "nowhere.wav"),
        (tone, None),
        ({"array": np.full(5000, np.nan), "sampling_rate": RATE}, "NaN"),
        (str(cut_off), "is truncated"),  # after several segments
        (None, "audio must be"),
        (str(write_tone("other.mp3", seconds=1)), None),
    ]


@pytest.mark.parametrize("batch_size", [1, 3, 8])
@pytest.mark.parametrize("as_generator", [False, True])
def test_on_error(pipe, mixed, batch_size, as_generator, monkeypatch, assert_same):
    monkeypatch.setattr(pipeline_samplecnn, "GROUP_SAMPLES", 5 * 1458)
    inputs = [given for given, _ in mixed]
    given = (x for x in inputs) if as_generator else inputs
    answers = list(pipe(given, on_error="return", batch_size=batch_size))
    assert len(answers) == len(mixed)
    for answer, (given, message) in zip(answers, mixed, strict=True):
        if message is None:
            assert_same(answer, pipe(given))
        else:
            assert set(answer) == {"error"}
            assert message in answer["error"] and "\n" not in answer["error"]
            assert pipe(given, on_error="return") == answer
    with pytest.raises(ValueError, match="notes.wav"):
        list(pipe(inputs, batch_size=batch_size))


@pytest.mark.parametrize("batch_size", [1, 2])
def test_scores_that_are_not_finite_are_an_error(pipe, tone, batch_size):
    with torch.no_grad():
        pipe.model.classifier.out_proj.weight[0, 0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        pipe([tone, tone], batch_size=batch_size)
    answers = pipe([tone, tone], batch_size=batch_size, on_error="return")
    assert all("not finite" in answer["error"] for answer in answers)


@pytest.mark.parametrize("name", ["median_filter_s", "minimum_event_gap_s", "minimum_event_length_s"])
def test_options_of_events_need_events(pipe, tone, name):
    with pytest.raises(ValueError, match=f"{name} needs events=True"):
        pipe(tone, return_timestamps=True, **{name: 0.5})
    assert pipe(tone, events=True, **{name: 0.5})["events"] is not None


@pytest.mark.parametrize(
    "given, error, message",
    [
        ({"array": np.zeros(100)}, ValueError, "sampling_rate"),
        ({"sampling_rate": RATE}, ValueError, '"array"'),
        ({"path": "a.wav", "array": None, "sampling_rate": RATE}, ValueError, "own sampling rate"),
        ({"array": np.zeros(100), "sampling_rate": 0}, ValueError, "between"),
        (np.zeros(0), ValueError, "empty"),
        (np.full(100, np.nan), ValueError, "NaN"),
        (np.full(100, 1e36), ValueError, "1e\\+36"),
        (np.array([100.0, -300.0]), ValueError, "divide 16-bit samples by 32768"),
        ([], ValueError, "list of inputs is empty"),
        ((), ValueError, "list of inputs is empty"),
        (None, TypeError, "NoneType"),
        (5, TypeError, "int"),
        ({}, ValueError, '"array"'),
        ([0.1, 0.2], TypeError, "a list is a batch of clips"),
        ("nowhere.wav", FileNotFoundError, "nowhere.wav"),
        (b"this is not audio", ValueError, "cannot be read as audio"),
    ],
)
def test_errors(pipe, given, error, message):
    with pytest.raises(error, match=message):
        pipe(given)


def test_a_rate_that_contradicts_the_input(pipe, write_tone, tone):
    path = write_tone()
    for given in (str(path), path.read_bytes(), {"path": str(path)}, {"bytes": path.read_bytes()}):
        with pytest.raises(ValueError, match="has its own sampling rate"):
            pipe(given, sampling_rate=16000)
    with pytest.raises(ValueError, match="sampling_rate=16000 contradicts the dict's 22050"):
        pipe({"array": tone, "sampling_rate": RATE}, sampling_rate=16000)


def test_decoder_that_fails(pipe):
    class AudioDecoder:
        def get_all_samples(self):
            raise RuntimeError("Could not open input file:\nInvalid data found")

    with pytest.raises(ValueError, match="torchcodec cannot decode the audio: Could not open input file: Invalid"):
        pipe(AudioDecoder())


def test_file_that_is_not_audio(pipe, tmp_path):
    (tmp_path / "notes.wav").write_text("not audio")
    with pytest.raises(ValueError, match="notes.wav"):
        pipe(str(tmp_path / "notes.wav"))
