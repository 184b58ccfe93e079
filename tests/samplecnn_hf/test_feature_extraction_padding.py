"""`padding`, `max_length`, `truncation` and `pad()`, as the audio courses of the Hub and `Trainer` use them."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import BatchFeature, DataCollatorWithPadding, Trainer, TrainingArguments

from samplecnn_hf import SampleCNNFeatureExtractor, SampleCNNForAudioClassification, create_config

RATE = 22050
LENGTHS = [250, 1000, 30]  # 3, 10 and 1 segments
CLIPS = [np.random.default_rng(i).uniform(-1, 1, n).astype(np.float32) for i, n in enumerate(LENGTHS)]


@pytest.fixture
def extractor():
    return SampleCNNFeatureExtractor(segment_length=100)


def counts(features):
    return [int(sum(mask)) for mask in features["attention_mask"]]


def test_as_in_the_audio_course(extractor):
    result = extractor(
        CLIPS, sampling_rate=RATE, max_length=450, truncation=True, padding=True, return_attention_mask=True
    )
    assert result["input_values"].shape == (3, 5, 100)
    assert counts(result) == [3, 5, 1]
    np.testing.assert_array_equal(result["input_values"][1].ravel()[:450], CLIPS[1][:450])
    assert not result["input_values"][1].ravel()[450:].any()


@pytest.mark.parametrize("rate", [11025, 44100])
def test_max_length_counts_samples_of_the_model(extractor, rate):
    result = extractor(CLIPS[1], sampling_rate=rate, max_length=300, truncation=True)
    assert result["input_values"].shape == (1, 3, 100)
    whole = extractor(CLIPS[1], sampling_rate=rate)["input_values"]
    np.testing.assert_array_equal(result["input_values"], whole[:, :3])


@pytest.mark.parametrize(
    "options, shape, real",
    [
        ({}, (3, 10, 100), [3, 10, 1]),
        ({"padding": "longest"}, (3, 10, 100), [3, 10, 1]),
        ({"padding": True, "max_length": 450}, (3, 10, 100), [3, 10, 1]),
        ({"padding": "max_length", "max_length": 1201}, (3, 13, 100), [3, 10, 1]),
        ({"padding": "max_length", "max_length": 400, "truncation": True}, (3, 4, 100), [3, 4, 1]),
        ({"padding": "max_length", "max_length": 1, "truncation": True}, (3, 1, 100), [1, 1, 1]),
    ],
)
@pytest.mark.parametrize("return_tensors", ["pt", "np", None])
def test_padding(extractor, options, shape, real, return_tensors):
    result = extractor(CLIPS, sampling_rate=RATE, return_tensors=return_tensors, **options)
    assert tuple(result["input_values"].shape) == shape
    assert counts(result) == real
    assert isinstance(result["input_values"], torch.Tensor if return_tensors == "pt" else np.ndarray)


def test_no_padding(extractor):
    result = extractor(CLIPS, sampling_rate=RATE, padding=False)
    assert [clip.shape for clip in result["input_values"]] == [(3, 100), (10, 100), (1, 100)]
    assert counts(result) == [3, 10, 1]
    with pytest.raises(ValueError, match="padding=True"):
        extractor(CLIPS, sampling_rate=RATE, padding=False, return_tensors="pt")


def test_no_attention_mask(extractor):
    assert set(extractor(CLIPS, sampling_rate=RATE, return_attention_mask=False)) == {"input_values"}
    without = SampleCNNFeatureExtractor(segment_length=100, return_attention_mask=False)
    assert set(without(CLIPS, sampling_rate=RATE)) == {"input_values"}
    assert counts(without(CLIPS, sampling_rate=RATE, return_attention_mask=True)) == [3, 10, 1]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"truncation": True}, "max_length"),
        ({"padding": "max_length"}, "max_length"),
        ({"padding": "widest"}, "widest"),
        ({"max_length": 0}, "max_length"),
        ({"max_length": 1.5}, "max_length"),
        ({"max_length": "1"}, "max_length"),
    ],
)
def test_wrong_options_are_refused(extractor, options, message):
    with pytest.raises(ValueError, match=message) as error:
        extractor(CLIPS, sampling_rate=RATE, **options)
    assert "\n" not in str(error.value)


# `pad`


def rows(extractor, return_tensors=None):
    """As a dataset has them: a clip's segments, its mask and its label."""
    features = [extractor(clip, sampling_rate=RATE, return_tensors=return_tensors) for clip in CLIPS]
    return [{name: value[0] for name, value in row.items()} | {"label": i} for i, row in enumerate(features)]


@pytest.mark.parametrize("kind", ["pt", "np", "lists"])
def test_pad_does_what_the_call_does(extractor, kind):
    expected = extractor(CLIPS, sampling_rate=RATE, return_tensors="pt")
    given = rows(extractor, None if kind == "lists" else kind)
    if kind == "lists":
        given = [{name: np.asarray(value).tolist() for name, value in row.items()} for row in given]
    result = extractor.pad(given, return_tensors="pt")
    assert torch.equal(result["input_values"], expected["input_values"])
    assert torch.equal(result["attention_mask"], expected["attention_mask"])
    assert result["label"].tolist() == [0, 1, 2]
    assert isinstance(extractor.pad(given)["input_values"], torch.Tensor if kind == "pt" else np.ndarray)


def test_pad_changes_nothing_of_a_padded_batch(extractor):
    batch = extractor(CLIPS, sampling_rate=RATE)
    for given in (batch, dict(batch), extractor.pad(batch)):
        result = extractor.pad(given)
        for name in batch:
            np.testing.assert_array_equal(result[name], batch[name])


@pytest.mark.parametrize(
    "options, length, real",
    [
        ({"padding": "max_length", "max_length": 12}, 12, [3, 10, 1]),
        ({"padding": "max_length", "max_length": 4, "truncation": True}, 4, [3, 4, 1]),
        ({"pad_to_multiple_of": 8}, 16, [3, 10, 1]),
        ({"padding": "max_length", "max_length": 4, "truncation": True, "pad_to_multiple_of": 3}, 6, [3, 6, 1]),
    ],
)
def test_pad_counts_segments(extractor, options, length, real):
    result = extractor.pad(rows(extractor), **options)
    assert result["input_values"].shape == (3, length, 100)
    assert counts(result) == real


def test_pad_waveforms(extractor):
    result = extractor.pad({"input_values": CLIPS}, return_tensors="np")
    assert result["input_values"].shape == (3, 1000)
    assert counts(result) == LENGTHS


def test_pad_on_the_left():
    extractor = SampleCNNFeatureExtractor(segment_length=100, padding_side="left")
    result = extractor(CLIPS, sampling_rate=RATE)
    assert result["attention_mask"][0].tolist() == [0] * 7 + [1] * 3
    assert not result["input_values"][0, :7].any()


def test_pad_needs_input_values(extractor):
    with pytest.raises(ValueError, match="includes input_values, but you provided .*label"):
        extractor.pad([{"label": 1}])


def test_data_collator(extractor):
    loader = DataLoader(rows(extractor), batch_size=3, collate_fn=DataCollatorWithPadding(extractor))
    (batch,) = loader
    assert isinstance(batch, BatchFeature)
    assert batch["input_values"].shape == (3, 10, 100)
    assert batch["labels"].tolist() == [0, 1, 2]


def test_trainer_pads_with_its_processing_class(tmp_path):
    """Clips of 1 to 4 segments, mapped as in the audio course; their label is their loudness."""
    extractor = SampleCNNFeatureExtractor(segment_length=1458)
    rng = np.random.default_rng(0)
    labels = [i % 2 for i in range(48)]
    clips = [rng.normal(0, 0.5 if label else 0.01, 1458 * int(rng.integers(1, 5))).tolist() for label in labels]

    def prepare(batch):
        return extractor(batch["audio"], sampling_rate=RATE, max_length=1458 * 3, truncation=True)

    dataset = Dataset.from_dict({"audio": clips, "label": labels})
    dataset = dataset.map(prepare, batched=True, batch_size=2, remove_columns="audio")
    assert len({len(row["input_values"]) for row in dataset}) > 1
    torch.manual_seed(0)
    model = SampleCNNForAudioClassification(create_config("test-basic", batch_norm_momentum=0.5, dropout=0.0))
    arguments = TrainingArguments(
        str(tmp_path),
        num_train_epochs=4,
        per_device_train_batch_size=8,
        learning_rate=3e-3,
        report_to="none",
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(model, arguments, train_dataset=dataset, eval_dataset=dataset, processing_class=extractor)
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    predicted = trainer.predict(dataset)
    assert trainer.evaluate()["eval_loss"] < 0.5 * before
    assert (predicted.predictions.argmax(-1) == labels).mean() > 0.9
    trainer.save_model(tmp_path / "saved")
    assert (tmp_path / "saved" / "preprocessor_config.json").exists()
