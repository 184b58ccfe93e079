import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from transformers import pipeline
from transformers.pipelines.pt_utils import KeyDataset

from samplecnn_hf import (
    SampleCNNAudioClassificationPipeline,
    SampleCNNFeatureExtractor,
    SampleCNNForAudioClassification,
    SampleCNNStream,
    audio_samplecnn,
    pipeline_samplecnn,
)

RATE = 22050
FORMATS = ["wav", "flac", "ogg", "mp3"]


def scores(answer):
    """[{label, score}] -> {label: score}."""
    return {item["label"]: item["score"] for item in answer}


def test_answer_is_the_models(pipe, tone, expected, assert_same):
    answer = pipe(tone)
    assert_same(answer, expected)
    assert [item["score"] for item in answer] == sorted((item["score"] for item in answer), reverse=True)
    assert sum(scores(answer).values()) == pytest.approx(1)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "kind",
    [
        str,
        Path,
        Path.read_bytes,
        lambda path: bytearray(path.read_bytes()),
        lambda path: memoryview(path.read_bytes()),
        lambda path: io.BytesIO(path.read_bytes()),
        lambda path: path.open("rb"),
    ],
    ids=["str", "Path", "bytes", "bytearray", "memoryview", "BytesIO", "file object"],
)
def test_files(pipe, write_tone, expected, name, kind, assert_same):
    tolerance = 1e-3 if name in ("wav", "flac") else 0.03  # 16 bits; lossy
    assert_same(pipe(kind(write_tone(f"tone.{name}"))), expected, tolerance)


@pytest.mark.parametrize("key", ["array", "raw"])
@pytest.mark.parametrize("rate", [RATE, 44100, 16000])
def test_dict_with_its_rate(pipe, make_tone, expected, key, rate, assert_same):
    given = {key: make_tone(sampling_rate=rate), "sampling_rate": rate, "path": None}
    before = dict(given)
    tolerance = 1e-5 if rate == RATE else 0.02
    assert_same(pipe(given), expected, tolerance)
    assert given.keys() == before.keys()
    assert given[key] is before[key]


def test_file_at_another_rate(pipe, write_tone, make_tone, assert_same):
    answer = pipe(str(write_tone(sampling_rate=48000)))
    assert_same(answer, pipe({"array": make_tone(sampling_rate=48000), "sampling_rate": 48000}), 1e-3)


@pytest.mark.parametrize(
    "convert",
    [
        torch.from_numpy,
        lambda x: x.astype(np.float64),
        lambda x: np.stack([x, x]),
        lambda x: np.stack([1.5 * x, 0.5 * x], axis=1),
        lambda x: torch.from_numpy(x)[None],
        lambda x: {"array": torch.from_numpy(x), "sampling_rate": RATE},
    ],
    ids=["torch", "float64", "(channels, samples)", "(samples, channels)", "torch (1, samples)", "torch in a dict"],
)
def test_waveforms(pipe, tone, expected, convert, assert_same):
    assert_same(pipe(convert(tone)), expected)


def test_stereo_file(pipe, tmp_path, tone, expected, assert_same):
    soundfile.write(tmp_path / "stereo.wav", np.stack([1.5 * tone, 0.5 * tone], axis=1), RATE)
    assert_same(pipe(str(tmp_path / "stereo.wav")), expected, 1e-3)


@pytest.mark.parametrize("kind", ["bytes", "path"])
def test_undecoded_row_of_datasets(pipe, write_tone, expected, kind, assert_same):
    path = write_tone()
    row = {"bytes": path.read_bytes() if kind == "bytes" else None, "path": str(path), "array": None}
    assert_same(pipe(row), expected, 1e-3)


def test_decoder_of_datasets(pipe, make_tone, expected, assert_same):
    class AudioDecoder:  # of torchcodec: what `datasets` yields
        def get_all_samples(self):
            data = torch.from_numpy(make_tone(sampling_rate=44100)).expand(2, -1)
            return type("AudioSamples", (), {"data": data, "sample_rate": 44100})

    assert_same(pipe(AudioDecoder()), expected, 0.02)


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_list_equals_one_by_one(pipe, write_tone, make_tone, batch_size, assert_same):
    inputs = [
        str(write_tone("a.wav", seconds=0.5)),
        make_tone(880, seconds=0.01),
        write_tone("b.mp3", frequency=200).read_bytes(),
        {"array": make_tone(660, sampling_rate=8000), "sampling_rate": 8000},
        str(write_tone("c.flac", seconds=1, sampling_rate=44100)),
    ]
    answers = pipe(inputs, batch_size=batch_size)
    assert len(answers) == len(inputs)
    for answer, one in zip(answers, inputs, strict=True):
        assert_same(answer, pipe(one))


@pytest.mark.parametrize("max_segments", [None, 3, 20])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_groups_of_segments_give_the_answer_of_the_whole(tiny_model, make_tone, monkeypatch, max_segments, batch_size):
    """Clips of 1 to 61 segments, of which 5 go through the network at a time."""
    extractor = SampleCNNFeatureExtractor(segment_length=1458, max_segments=max_segments, do_normalize=True)
    pipe = SampleCNNAudioClassificationPipeline(model=tiny_model, feature_extractor=extractor, top_k=None)
    clips = [make_tone(300 * i, seconds=seconds) for i, seconds in enumerate((0.05, 0.3, 4, 0.4, 0.06, 1), start=1)]
    monkeypatch.setattr(pipeline_samplecnn, "GROUP_SAMPLES", 5 * 1458)
    for clip, answer in zip(clips, pipe(clips, sampling_rate=RATE, batch_size=batch_size), strict=True):
        with torch.no_grad():
            outputs = tiny_model(**extractor(clip, sampling_rate=RATE, return_tensors="pt"))
        expected = outputs.segment_logits.softmax(-1).mean(1)[0].tolist()
        assert scores(answer) == pytest.approx(dict(zip(tiny_model.config.labels, expected, strict=True)), abs=1e-6)


def test_max_segments_stops_the_reading(tiny_model, write_tone, monkeypatch):
    monkeypatch.setattr(audio_samplecnn, "BLOCK_SAMPLES", 1000)
    read = []
    monkeypatch.setattr(soundfile.SoundFile, "read", _counted(soundfile.SoundFile.read, read))
    extractor = SampleCNNFeatureExtractor(segment_length=1458, max_segments=2)
    pipe = SampleCNNAudioClassificationPipeline(model=tiny_model, feature_extractor=extractor)
    pipe(str(write_tone(seconds=2)))
    assert len(read) == 3  # of 45


def _counted(function, calls):
    def count(*args, **kwargs):
        calls.append(args)
        return function(*args, **kwargs)

    return count


def test_tuple(pipe, tone):
    assert pipe((tone, tone[:100])) == pipe([tone, tone[:100]])


def test_column_of_datasets(pipe, tone):
    datasets = pytest.importorskip("datasets")
    column = datasets.Dataset.from_dict({"audio": [{"array": tone, "sampling_rate": RATE}] * 2})["audio"]
    assert pipe(column) == pipe([tone, tone], sampling_rate=RATE)


def test_a_model_that_returns_tuples(pipe, tone):
    expected = pipe(tone)
    pipe.model.config.return_dict = False
    assert pipe(tone) == expected


def test_torch_dataset(pipe, write_tone, tone, expected, assert_same):
    rows = [{"audio": str(write_tone(f"{i}.flac"))} for i in range(5)]
    answers = list(pipe(KeyDataset(rows, "audio"), batch_size=2))
    assert len(answers) == 5
    for answer in answers:
        assert_same(answer, expected, 1e-3)


def test_generator(pipe, tone, expected, assert_same):
    for answer in pipe((tone for _ in range(3)), batch_size=2):
        assert_same(answer, expected)


def test_top_k(tiny_model, tiny_extractor, tone):
    def make(**kwargs):
        return SampleCNNAudioClassificationPipeline(model=tiny_model, feature_extractor=tiny_extractor, **kwargs)

    every = make(top_k=None)(tone)
    assert len(every) == 7
    assert make()(tone) == every[:5]
    assert make()(tone, top_k=2) == every[:2]
    assert make()(tone, top_k=None) == every
    assert make()(tone, top_k=100) == every
    three = make(top_k=3)
    assert three(tone) == every[:3]
    assert three(tone, top_k=1) == every[:1]
    assert three(tone) == every[:3]
    assert [len(answer) for answer in three([tone, tone])] == [3, 3]


@pytest.mark.parametrize("name", ["softmax", "sigmoid", "none"])
def test_function_to_apply(pipe, make_tone, name):
    functions = {"softmax": lambda x: x.softmax(-1), "sigmoid": torch.sigmoid, "none": lambda x: x}
    audio = make_tone(seconds=0.2)
    inputs = pipe.feature_extractor(audio, sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        segments = functions[name](pipe.model(**inputs).segment_logits[0])
    output = pipe(audio, function_to_apply=name, return_timestamps=True, top_k=None)
    values = [scores(output["scores"]), *(scores(row["scores"]) for row in output["chunks"])]
    for answer, expected in zip(values, [segments.mean(0), *segments], strict=True):
        assert [answer[label] for label in pipe.model.config.labels] == pytest.approx(expected.tolist(), abs=1e-5)


def test_multi_label_answers_with_sigmoid(make_model, tiny_extractor, tone):
    model = make_model("test-se", num_labels=4, problem_type="multi_label_classification")
    pipe = SampleCNNAudioClassificationPipeline(model=model, feature_extractor=tiny_extractor)
    features = tiny_extractor(tone, sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        expected = model(**features).segment_logits.sigmoid().mean(1)[0]
    answer = scores(pipe(tone))
    assert answer == pytest.approx({f"LABEL_{i}": score for i, score in enumerate(expected.tolist())}, abs=1e-5)
    assert sum(answer.values()) != pytest.approx(1, abs=0.01)


@pytest.fixture
def tagger(make_model, tiny_extractor):
    """tagger(thresholds=None, **pipeline_options): a pipeline with a multi-label model."""

    def make(thresholds=None, **kwargs):
        model = make_model("test-se", num_labels=4, problem_type="multi_label_classification", thresholds=thresholds)
        return SampleCNNAudioClassificationPipeline(model=model, feature_extractor=tiny_extractor, **kwargs)

    return make


def test_threshold(tagger, tone):
    pipe = tagger()
    every = pipe(tone)
    second = every[1]["score"]
    assert every[0]["score"] > second > every[2]["score"]
    assert pipe(tone, threshold=second) == every[:2]
    assert pipe(tone, threshold=second, top_k=1) == every[:1]
    assert pipe(tone, threshold=1) == []
    assert pipe(tone, threshold=0) == pipe(tone, threshold=None) == pipe(tone) == every
    assert pipe([tone, tone], threshold=second, batch_size=2) == pipe([tone, tone], top_k=2, batch_size=2)
    strict = tagger(threshold=second)
    assert strict(tone) == every[:2]
    assert strict(tone, threshold=0) == strict(tone, threshold=None) == every


def test_tuned_thresholds(tagger, tone):
    every = tagger()(tone)
    # the most likely label and the third stay below theirs
    thresholds = {
        item["label"]: item["score"] + margin for item, margin in zip(every, [1e-3, 0, 1e-3, -1e-3], strict=True)
    }
    pipe = tagger([thresholds[f"LABEL_{i}"] for i in range(4)])
    assert pipe(tone) == every
    assert pipe(tone, threshold="tuned") == [every[1], every[3]]
    assert pipe(tone, threshold="tuned", top_k=1) == [every[1]]
    assert tagger(pipe.model.config.thresholds, threshold="tuned")(tone) == [every[1], every[3]]


def test_threshold_with_the_code_of_a_saved_folder(tagger, tmp_path, tone, assert_same):
    pipe = tagger([0.0, 1.0, 0.0, 1.0])
    pipe.save_pretrained(tmp_path)
    remote = pipeline("audio-classification", model=str(tmp_path), trust_remote_code=True)
    answer = remote(tone, threshold="tuned")
    assert {item["label"] for item in answer} == {"LABEL_0", "LABEL_2"}
    assert_same(answer, pipe(tone, threshold="tuned"))
    always = pipeline("audio-classification", model=str(tmp_path), trust_remote_code=True, threshold="tuned")
    assert always(tone) == answer


@pytest.mark.parametrize(
    "thresholds, threshold, message",
    [
        (None, "tuned", "no tuned thresholds, which multi-label models and keyword spotters have: give a number"),
        ([0.5] * 3, "tuned", "has 3 values for 4 labels: tune them again"),
        (None, 50, "must be a number from 0 to 1.*got 50"),
        (None, "0.5", "must be a number from 0 to 1.*got '0.5'"),
        (None, [0.5] * 4, "must be a number from 0 to 1"),
    ],
)
def test_threshold_that_cannot_be_used(tagger, tone, thresholds, threshold, message):
    with pytest.raises(ValueError, match=message):
        tagger(thresholds)(tone, threshold=threshold)
    with pytest.raises(ValueError, match=message):
        tagger(thresholds, threshold=threshold)


def test_fine_tuning_leaves_the_thresholds_behind(tagger, tmp_path, tiny_extractor, tone):
    tagger([0.1, 0.2, 0.3, 0.4]).save_pretrained(tmp_path)
    model = SampleCNNForAudioClassification.from_pretrained(tmp_path, num_labels=2, ignore_mismatched_sizes=True)
    pipe = SampleCNNAudioClassificationPipeline(model=model, feature_extractor=tiny_extractor)
    assert len(pipe(tone)) == 2
    with pytest.raises(ValueError, match="no tuned thresholds"):
        pipe(tone, threshold="tuned")
    model.save_pretrained(tmp_path / "tuned")
    again = SampleCNNForAudioClassification.from_pretrained(tmp_path / "tuned")
    assert again.config.thresholds is None


def test_the_extractor_decides_on_segments(tiny_model, tone, assert_same):
    extractor = SampleCNNFeatureExtractor(segment_length=1458, max_segments=1)
    pipe = SampleCNNAudioClassificationPipeline(model=tiny_model, feature_extractor=extractor)
    assert_same(pipe(tone), pipe(tone[:1458]))


def test_bfloat16(tiny_model, tiny_extractor, tone, expected, assert_same):
    pipe = SampleCNNAudioClassificationPipeline(
        model=tiny_model.to(torch.bfloat16), feature_extractor=tiny_extractor, top_k=None
    )
    assert_same(pipe(tone), expected, 0.05)


def test_from_pretrained_takes_every_argument_of_the_hub(tmp_path, tiny_model, tiny_extractor, tone):
    for saved in (tiny_model, tiny_extractor):
        saved.save_pretrained(tmp_path / "deep" / "er")
    hub = {"revision": "main", "token": False, "cache_dir": tmp_path / "cache", "force_download": True}
    hub |= {"local_files_only": True, "subfolder": "deep/er"}
    pipe = SampleCNNAudioClassificationPipeline.from_pretrained(tmp_path, **hub)
    assert pipe(tone)[0] == SampleCNNAudioClassificationPipeline.from_pretrained(tmp_path / "deep" / "er")(tone)[0]


def test_from_pretrained_needs_a_classifier(tmp_path, tiny_model, tiny_extractor):
    tiny_model.samplecnn.save_pretrained(tmp_path)
    tiny_extractor.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no trained classifier"):
        SampleCNNAudioClassificationPipeline.from_pretrained(tmp_path)


def test_from_pretrained(tmp_path, tiny_model, tiny_extractor, tone, expected):
    tiny_model.save_pretrained(tmp_path)
    tiny_extractor.save_pretrained(tmp_path)
    for path in tmp_path.glob("*.py"):  # the package's own code runs, not the folder's
        path.write_text("raise RuntimeError('ran the code of the folder')")
    pipe = SampleCNNAudioClassificationPipeline.from_pretrained(tmp_path, top_k=3)
    assert isinstance(pipe.model, SampleCNNForAudioClassification)
    answer = pipe(tone)
    assert len(answer) == 3
    assert scores(answer) == pytest.approx({label: scores(expected)[label] for label in scores(answer)}, abs=1e-5)
    for name in ("dtype", "torch_dtype"):
        pipe = SampleCNNAudioClassificationPipeline.from_pretrained(tmp_path, **{name: torch.bfloat16})
        assert pipe.model.dtype == torch.bfloat16


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("sampling_rate", 16000, "the network is for 22050 Hz, the feature extractor for 16000 Hz"),
        ("segment_length", 5, "segment_length of 5 is too short for the network"),
    ],
)
def test_an_extractor_that_does_not_fit_the_network(tiny_model, tiny_extractor, name, value, message):
    setattr(tiny_extractor, name, value)
    with pytest.raises(ValueError, match=message):
        SampleCNNAudioClassificationPipeline(model=tiny_model, feature_extractor=tiny_extractor)
    with pytest.raises(ValueError, match=message):
        SampleCNNStream(tiny_model, tiny_extractor)


def test_longer_segments_than_in_training(tiny_model, tiny_extractor, make_tone, assert_same):
    """The network accepts any length of at least `min_samples`."""
    tiny_extractor.segment_length = 2 * tiny_model.config.segment_length
    pipe = SampleCNNAudioClassificationPipeline(model=tiny_model, feature_extractor=tiny_extractor, top_k=None)
    waveform = make_tone(seconds=tiny_extractor.segment_length / RATE)
    with torch.no_grad():
        probabilities = tiny_model(torch.from_numpy(waveform)[None, None]).logits.softmax(-1)[0]
    assert scores(pipe(waveform, sampling_rate=RATE)) == pytest.approx(
        dict(zip(tiny_model.config.labels, probabilities.tolist(), strict=True)), abs=1e-5
    )
