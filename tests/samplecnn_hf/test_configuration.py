import dataclasses
from collections import Counter
from random import Random

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError

from samplecnn_hf import SampleCNNConfig, SampleCNNForAudioClassification, create_config

REFUSALS = (ValueError, StrictDataclassError)


def nested(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"block_type": "dense"}, "block_type must be one of basic, se, .*'dense'"),
        ({"front_end": "cqt"}, "front_end must be one of waveform, mel.*'cqt'"),
        ({"initializer": "glorot"}, "initializer must be one of"),
        ({"partial_frames": "reflect"}, "partial_frames must be one of drop, pad.*'reflect'"),
        ({"first_doubling": -1}, "first_doubling must be from 0 to 16; got -1"),
        ({"problem_type": "regression"}, "problem_type must be one of"),
        ({"problem_type": None}, "problem_type"),
        ({"sampling_rate": 0}, "sampling_rate must be from 1 to 1000000; got 0"),
        ({"stem_channels": 0}, "stem_channels must be from 1 to 1024; got 0"),
        ({"num_blocks": 0}, "num_blocks must be from 1 to 16; got 0"),
        ({"num_blocks": 1_000_000_000}, "num_blocks must be from 1 to 16; got 1000000000"),
        ({"stem_stride": 0}, "stem_stride must be from 1 to 16384; got 0"),
        ({"n_fft": 2**40}, "n_fft must be from 2 to 16384"),
        ({"se_ratio": 1e9}, "se_ratio must be from 0.0001 to 16; got 1000000000.0"),
        ({"block_type": "se", "stem_channels": 1024, "se_ratio": 16}, "squeezes of more than 8192 units"),
        ({"batch_norm_eps": float("nan")}, "batch_norm_eps must be from 1e-12 to 1; got nan"),
        ({"mel_compression": float("inf")}, "mel_compression must be from 1e-06 to 1000000.0; got inf"),
        ({"num_labels": 10**9}, "num_labels must be an integer from 1 to 100000; got 1000000000"),
        ({"num_labels": "ten"}, "num_labels must be an integer from 1 to 100000; got 'ten'"),
        ({"id2label": {1: "cat", 2: "dog"}}, r"id2label must number the labels 0, 1, 2...; got \[1, 2\]"),
        ({"id2label": ["cat", "dog"]}, "id2label"),
        ({"dtype": "load"}, "dtype must be one of float64, .*; got 'load'"),
        ({"hidden_size": 64}, "hidden_size is not a field"),
        ({"to_dict": 1}, "to_dict is not a field"),
        ({"notes": nested(100_000)}, "notes is nested more than 20 levels deep"),
        ({"stem_kernel_size": 3, "stem_stride": 9}, "must be even and not negative"),
        ({"stem_kernel_size": 4, "stem_stride": 3}, "must be even and not negative"),
        ({"front_end": "mel", "stem_kernel_size": 2187, "stem_stride": 729, "num_blocks": 4}, "n_fft=1024"),
        ({"num_strided_convolutions": -1}, "num_strided_convolutions must be from 0 to 17; got -1"),
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
    with pytest.raises(REFUSALS, match=message):
        SampleCNNConfig(**fields)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"problem_type": "regression"}, "problem_type must be one of single_label_classification, .*'regression'"),
        ({"num_blocks": 10**9}, "num_blocks must be from 1 to 16"),
        ({"num_blocks": 12}, "at least 1594323 samples"),  # each field alone would do
        ({"dropout": "half"}, "dropout"),
    ],
)
def test_overrides_at_loading_are_checked(tmp_path, fields, message):
    SampleCNNConfig().save_pretrained(tmp_path)
    with pytest.raises(REFUSALS, match=message):
        SampleCNNConfig.from_pretrained(tmp_path, **fields)
    with pytest.raises(REFUSALS, match=message):
        SampleCNNForAudioClassification.from_pretrained(tmp_path, **fields)


def test_assignments_are_checked():
    config = SampleCNNConfig()
    with pytest.raises(ValueError, match="problem_type must be one of .*'regression'"):
        config.problem_type = "regression"
    with pytest.raises(ValueError, match="num_blocks must be from 1 to 16"):
        config.num_blocks = 10**9
    assert (config.problem_type, config.num_blocks) == ("single_label_classification", 9)


# What a fuzzer puts in place of a value.
VALUES = [
    *[None, True, False, 0, 1, 2, 3, -1, 10**9, 10**18, 10**400, 0.1, 0.5, -0.5, 1e-300, 1e308],
    *[float("nan"), float("inf"), -float("inf"), "", "0", "float32", "mel", "se", "rese2", "a\nb", "\0", "x" * 200],
    *[[], [0], [0.5, 0.5], ["a"], [[]], {}, {"0": "a", "1": "b"}, {0: "a"}, {"a": 0}, {"a": {"b": []}}, {"": ""}],
    *[
        nested(50),
        nested(5_000),
        b"bytes",
        (1, 2),
        {1, 2},
        1j,
        object(),
        SampleCNNConfig,
        torch.float16,
        torch.zeros(2),
    ],
]
# Names that transformers gives a meaning to, names that are taken, and a new one.
OTHER_FIELDS = (
    "_attn_implementation _attn_implementation_internal _commit_hash _experts_implementation _heterogeneity_spec "
    "_name_or_path _output_attentions _post_init_done __class__ __dict__ __init__ add_cross_attention architectures "
    "attn_implementation attribute_map auto_map block_channels chunk_size_feed_forward custom_pipelines dtype "
    "experts_implementation extra from_dict head_dim hidden_size id2label is_encoder_decoder is_heterogeneous "
    "label2id labels layer_types mlp_layer_types model_type name_or_path num_hidden_layers num_labels "
    "output_attentions output_hidden_states per_layer_attributes per_layer_config quantization_config return_dict "
    "rope_parameters rope_scaling rope_theta sub_configs text_config tie_word_embeddings to_dict torch_dtype "
    "transformers_version use_return_dict validate vocab_size pad_token_id"
).split()


@pytest.mark.parametrize("how", [lambda fields: SampleCNNConfig(**fields), SampleCNNConfig.from_dict])
@pytest.mark.parametrize("seed", range(4))
def test_tampered_configurations(how, seed):
    """Each is loaded as a configuration that a network can be built from, or refused with a sentence."""
    random = Random(seed)
    names = [field.name for field in dataclasses.fields(SampleCNNConfig)]
    outcomes = Counter()
    for _ in range(300):
        tampered = create_config(random.choice(["test-se", "rese2-8-multi", "mel-basic-8-243x81"])).to_dict()
        for name in random.sample(names + OTHER_FIELDS, k=random.choice([1, 1, 2, 5])):
            tampered[name] = random.choice(VALUES)
        try:
            config = how(tampered)
        except REFUSALS as error:
            assert str(error).count("\n") <= 1 and len(str(error)) < 2_000, tampered
            outcomes["refused"] += 1
            continue
        config.to_json_string()
        assert config.min_samples <= config.segment_length
        outcomes["loaded"] += 1
        if not {name for name in tampered if name.endswith("_implementation")}:  # checked by the model
            with torch.device("meta"):
                model = SampleCNNForAudioClassification(config)
            assert sum(parameter.numel() for parameter in model.parameters()) < 1e9
    assert min(outcomes.values()) > 15, outcomes


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
    assert loaded.multi_label and not SampleCNNConfig().multi_label
    assert "multi_label" not in loaded.to_dict()


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


def test_names_of_labels_are_enough():
    config = SampleCNNConfig(id2label={0: "dog", 1: "cat"})
    assert config.label2id == {"dog": 0, "cat": 1}


def test_new_names_at_loading(tmp_path):
    SampleCNNConfig(id2label={0: "dog", 1: "cat"}).save_pretrained(tmp_path)
    names = {0: "rain", 1: "wind", 2: "sea"}
    numbers = {name: i for i, name in names.items()}
    as_strings = {"id2label": {str(i): name for i, name in names.items()}}  # as in the course of transformers
    as_strings["label2id"] = {name: str(i) for i, name in names.items()}
    for fields in ({"id2label": names}, as_strings, {"num_labels": 3, **as_strings}):
        config = SampleCNNConfig.from_pretrained(tmp_path, **fields)
        assert (config.num_labels, config.id2label, config.label2id) == (3, names, numbers)
    with pytest.raises(REFUSALS, match="label2id must be the inverse of id2label"):
        SampleCNNConfig.from_pretrained(tmp_path, id2label=names, label2id={**numbers, "sea": 0})


def test_one_label_is_for_several_labels_per_clip(tmp_path):
    assert SampleCNNConfig(num_labels=1, problem_type="multi_label_classification").num_labels == 1
    SampleCNNConfig().save_pretrained(tmp_path)
    for create in (SampleCNNConfig, lambda **fields: SampleCNNConfig.from_pretrained(tmp_path, **fields)):
        with pytest.raises(REFUSALS, match="needs two labels|num_labels > 1"):
            create(num_labels=1)
