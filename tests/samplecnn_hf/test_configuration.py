import pytest
from huggingface_hub.errors import StrictDataclassError

from samplecnn_hf import SampleCNNConfig, create_config


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"block_type": "dense"}, "block_type must be one of basic, se, .*'dense'"),
        ({"front_end": "cqt"}, "front_end must be one of waveform, mel.*'cqt'"),
        ({"initializer": "glorot"}, "initializer must be one of"),
        ({"partial_frames": "reflect"}, "partial_frames must be one of drop, pad.*'reflect'"),
        ({"first_doubling": -1}, "first_doubling must not be negative; got -1"),
        ({"problem_type": "regression"}, "problem_type must be one of"),
        ({"problem_type": None}, "problem_type must be one of"),
        ({"sampling_rate": 0}, "sampling_rate must be at least 1"),
        ({"stem_channels": 0}, "stem_channels must be at least 1"),
        ({"num_blocks": 0}, "num_blocks must be at least 1"),
        ({"stem_stride": 0}, "stem_stride must be at least 1"),
        ({"stem_kernel_size": 3, "stem_stride": 9}, "must be even and not negative"),
        ({"stem_kernel_size": 4, "stem_stride": 3}, "must be even and not negative"),
        ({"front_end": "mel", "stem_kernel_size": 2187, "stem_stride": 729, "num_blocks": 4}, "n_fft=1024"),
        ({"num_strided_convolutions": -1}, "between 0 and 10"),
        ({"num_strided_convolutions": 11}, "between 0 and 10"),
        ({"num_strided_convolutions": 0, "stem_kernel_size": 4, "stem_stride": 2}, "odd stem_kernel_size"),
        ({"multi_level": True, "num_blocks": 2}, "last three blocks"),
        ({"segment_length": 59048}, "at least 59049 samples"),
        ({"num_blocks": "nine"}, "num_blocks"),
        ({"dropout": "half"}, "dropout"),
        ({"thresholds": [0.5, 1.5]}, "thresholds must be probabilities, from 0 to 1; got 1.5"),
        ({"thresholds": [float("nan"), 0.5]}, "thresholds must be probabilities, from 0 to 1; got nan"),
        ({"thresholds": ["high", 0.5]}, "thresholds"),
    ],
)
def test_what_cannot_be_built_is_refused(fields, message):
    with pytest.raises(StrictDataclassError, match=message):
        SampleCNNConfig(**fields)


def test_json_round_trip(tmp_path):
    config = create_config(
        "rese2-8-multi",
        se_ratio=2,
        dropout=0,
        num_strided_convolutions=3,
        initializer="sampleaudio",
        problem_type="multi_label_classification",
        thresholds=[0.1, 0.25, 1],
        id2label={0: "yes", 1: "no", 2: "stop"},
        label2id={"yes": 0, "no": 1, "stop": 2},
    )
    config.save_pretrained(tmp_path)
    loaded = SampleCNNConfig.from_pretrained(tmp_path)
    assert loaded.to_dict() == {**config.to_dict(), "transformers_version": loaded.to_dict()["transformers_version"]}
    assert loaded.id2label == {0: "yes", 1: "no", 2: "stop"}
    assert loaded.num_labels == 3
    assert loaded.thresholds == [0.1, 0.25, 1]


@pytest.mark.parametrize("labels", [{"num_labels": 3}, {"id2label": {0: "cat", 1: "dog"}}])
def test_thresholds_do_not_outlive_their_labels(tmp_path, labels):
    SampleCNNConfig(thresholds=[0.2, 0.7], id2label={0: "yes", 1: "no"}).save_pretrained(tmp_path)
    assert SampleCNNConfig.from_pretrained(tmp_path).thresholds == [0.2, 0.7]
    loaded = SampleCNNConfig.from_pretrained(tmp_path, **labels)
    assert loaded.thresholds is None
    assert loaded.num_labels == len(labels.get("id2label", range(3)))
    assert SampleCNNConfig.from_pretrained(tmp_path, **labels, thresholds=[0.1, 0.9]).thresholds == [0.1, 0.9]


def test_overrides_at_loading_change_what_follows_from_them(tmp_path):
    SampleCNNConfig().save_pretrained(tmp_path)
    loaded = SampleCNNConfig.from_pretrained(tmp_path, stem_channels=4, num_blocks=4, multi_level=True)
    assert loaded.block_channels == [4, 4, 8, 16]
    assert loaded.hidden_size == 4 + 8 + 16
    assert loaded.min_samples == 3**5


@pytest.mark.parametrize(
    "num_blocks, channels",
    [
        (9, [128, 128, 256, 256, 256, 256, 256, 256, 512]),
        (4, [128, 128, 256, 512]),
        (3, [128, 128, 256]),  # the third block is the last: one doubling
        (2, [128, 256]),
        (1, [256]),
    ],
)
def test_channels_double_at_the_third_block_and_at_the_last(num_blocks, channels):
    config = SampleCNNConfig(num_blocks=num_blocks)
    assert config.block_channels == channels
    assert config.hidden_size == channels[-1]


@pytest.mark.parametrize(
    "variant, min_samples", [("basic-9", 59049), ("basic-8", 19683), ("basic-9-stem729x243", 59049), ("test-se", 729)]
)
def test_shortest_input(variant, min_samples):
    assert create_config(variant).min_samples == min_samples
