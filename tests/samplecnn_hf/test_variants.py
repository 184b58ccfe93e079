import math
from pathlib import Path

import pytest
import torch
import yaml

from samplecnn_hf import create_config, list_variants
from training.loop.complexity import giga_macs, on_meta_device

PAPER = yaml.safe_load((Path(__file__).parents[2] / "training" / "paper.yaml").read_text(encoding="utf-8"))

BLOCK_TYPES = ["basic", "se", "res1", "res2", "rese1", "rese2"]
STEMS = ["729x729", "729x243", "243x243", "243x81", "81x81", "27x27", "9x9"]


def count_parameters(config):
    return sum(p.numel() for p in on_meta_device(config).parameters() if p.requires_grad)


def frames_by_layer(config):
    model = on_meta_device(config)
    with torch.no_grad():
        output = model(torch.zeros(1, config.segment_length, device="meta"), output_hidden_states=True)
    return [states.shape[-1] for states in output.hidden_states]


def describe(record):
    return " ".join([record["variant"], *(f"{k}={v}" for k, v in record.get("overrides", {}).items())])


def test_names_are_those_of_the_design():
    names = [f"{block_type}-{family}" for block_type in BLOCK_TYPES for family in (9, 8)]
    names += [f"{name}-multi" for name in names]
    names += [f"basic-9-strided{k}" for k in range(10)]
    names += [f"{block_type}-9-stem{stem}" for block_type in ("basic", "se") for stem in STEMS]
    names += [f"basic-{family}-stem{stem}-fixed" for family in (9, 8) for stem in STEMS]
    names += [f"mel-basic-9-{stem}" for stem in STEMS[:5]]
    names += [f"test-{block_type}" for block_type in BLOCK_TYPES]
    assert set(names) <= set(list_variants())


def test_list_is_sorted_and_free_of_doubles():
    assert list_variants() == sorted(set(list_variants()))


def test_paper_names_only_what_there_is():
    records = [
        *PAPER["parameters"],
        *PAPER["multiply_accumulates"],
        *PAPER["table_3"],
        *PAPER["table_4"],
        *PAPER["table_5"],
        *PAPER["later_work"],
    ]
    named = {record["variant"] for record in records}
    named |= {variant for scores in PAPER["figure_6"].values() for variant in scores}
    assert named <= set(list_variants())


@pytest.mark.parametrize(
    "name, hint", [("se9", "se-9"), ("basic-9-stride3", "basic-9-strided3"), ("qqq", "list_variants()")]
)
def test_unknown_name_comes_with_a_suggestion(name, hint):
    with pytest.raises(ValueError, match=f"'{name}'") as error:
        create_config(name)
    assert hint in str(error.value)


@pytest.mark.parametrize("name, hint", [("se_ration", "did you mean se_ratio"), ("qqq", "see SampleCNNConfig")])
def test_unknown_field_comes_with_a_suggestion(name, hint):
    with pytest.raises(ValueError, match=f"there is no field '{name}'; {hint}"):
        create_config("se-8", **{name: 1})


def test_overrides_win():
    config = create_config("se-8", num_labels=35, se_ratio=1, stem_channels=16)
    assert (config.num_labels, config.se_ratio, config.stem_channels, config.block_type) == (35, 1, 16, "se")


@pytest.mark.parametrize("dataset", PAPER["datasets"])
def test_families_hear_what_table_1_says(dataset):
    expected = PAPER["datasets"][dataset]["model"]
    config = create_config(f"basic-{expected['num_blocks']}")
    assert config.segment_length == expected["segment_length"]
    assert config.sampling_rate == expected["sampling_rate"]
    assert config.num_blocks == expected["num_blocks"]


@pytest.mark.parametrize(
    "record", PAPER["parameters"], ids=lambda record: f"{describe(record)} {record['num_labels']} labels"
)
def test_parameters_exactly(record):
    config = create_config(record["variant"], num_labels=record["num_labels"], **record.get("overrides", {}))
    assert count_parameters(config) == record["parameters"]


@pytest.mark.parametrize("record", PAPER["table_3"], ids=lambda record: record["printed_as"])
def test_parameters_of_table_3(record):
    config = create_config(record["variant"], num_labels=50, **record.get("overrides", {}))
    assert count_parameters(config) / 1e6 == pytest.approx(record["millions"], abs=0.11)


@pytest.mark.parametrize("family", [9, 8])
@pytest.mark.parametrize("stem", [*STEMS, "3x3"])
def test_fixed_size_networks_of_table_2(family, stem):
    fixed = PAPER["fixed_size_stems"][family]
    name = f"basic-{family}" if stem == "3x3" else f"basic-{family}-stem{stem}-fixed"
    config = create_config(name, num_labels=fixed["num_labels"])
    assert f"{config.stem_kernel_size}x{config.stem_stride}" == stem
    assert config.num_blocks == fixed["stems"][stem]["num_blocks"]
    assert config.stem_channels == fixed["stems"][stem]["width"]
    assert count_parameters(config) == pytest.approx(fixed["target_parameters"], rel=0.01)


@pytest.mark.parametrize("family", [9, 8])
@pytest.mark.parametrize("stem", [*STEMS, "3x3"])
def test_stems_under_the_channels_of_the_full_network(family, stem):
    """The other reading of Fig. 4 and Table II: blocks are dropped, the upper ones stay as they are."""
    full, fixed = create_config(f"basic-{family}"), PAPER["fixed_size_stems"][family]
    record = fixed["stems"][stem]
    name = f"basic-{family}" if stem == "3x3" else f"basic-{family}-stem{stem}"
    kept = {"first_doubling": max(0, 2 - (family - record["num_blocks"]))}
    assert create_config(name, **kept).block_channels == full.block_channels[-record["num_blocks"] :]
    parameters = [
        count_parameters(
            create_config(name, num_labels=fixed["num_labels"], stem_channels=record["kept_width"] + more, **kept)
        )
        for more in (-1, 0, 1)
    ]
    misses = [abs(count - fixed["target_parameters"]) for count in parameters]
    assert min(misses) == misses[1] < 0.01 * fixed["target_parameters"]


@pytest.mark.parametrize(
    "variant, dropped, padded",
    [
        ("se-8-stem729x729", 30, 31),
        ("basic-8-stem729x243", 90, 91),
        ("basic-8-stem243x243-fixed", 90, 91),
        ("se-8-stem243x81", 272, 273),
        ("mel-basic-8-81x81", 272, 273),
        ("basic-8-stem27x27", 816, 817),
        ("basic-8-stem9x9", 2450, 2450),
        ("basic-8", 7350, 7350),
        ("basic-9-stem729x729", 81, 81),
        ("mel-se-9-243x81", 729, 729),
    ],
)
def test_frames_of_the_stem(variant, dropped, padded):
    assert frames_by_layer(create_config(variant))[0] == dropped
    frames = frames_by_layer(create_config(variant, partial_frames="pad"))
    assert frames[0] == padded and frames[-1] == 1


@pytest.mark.parametrize("variant", [name for name in list_variants() if "strided" in name])
def test_frames_of_strided_convolutions(variant):
    """As Keras counts them: rounded up by padded convolutions, down by max-pooling."""
    config = create_config(variant, partial_frames="pad")
    frames = frames_by_layer(config)
    for i, (before, after) in enumerate(zip(frames, frames[1:], strict=False)):
        strided = i + 1 < config.num_strided_convolutions
        assert after == (math.ceil(before / 3) if strided else before // 3)


@pytest.mark.parametrize("record", PAPER["multiply_accumulates"], ids=describe)
def test_multiply_accumulates(record):
    num_labels = PAPER["fixed_size_stems"][int(record["variant"][-1])]["num_labels"]
    macs = giga_macs(create_config(record["variant"], num_labels=num_labels))
    assert macs == pytest.approx(record["giga"], abs=0.00051)


def test_each_strided_convolution_saves_work():
    macs = [giga_macs(create_config(f"basic-9-strided{k}")) for k in range(10)]
    assert all(more > less for more, less in zip(macs, macs[1:], strict=False))
    assert macs[1] == giga_macs(create_config("basic-9"))


@pytest.mark.parametrize("variant", list_variants())
def test_every_segment_ends_in_a_frame(variant):
    config = create_config(variant)
    frames = frames_by_layer(config)
    assert len(frames) == config.num_blocks + 1
    assert frames[0] == config.segment_length // config.stem_stride
    assert all(after == before // 3 for before, after in zip(frames, frames[1:], strict=False))
    assert frames[-1] >= 1


def test_frames_of_the_two_families():
    assert frames_by_layer(create_config("basic-9")) == [3**k for k in range(9, -1, -1)]
    assert frames_by_layer(create_config("basic-8")) == [7350, 2450, 816, 272, 90, 30, 10, 3, 1]


@pytest.mark.parametrize("variant", [name for name in list_variants() if name.endswith("-strided4")])
def test_four_strided_convolutions_halve_the_cost(variant):
    pooled = variant.removesuffix("-strided4")
    assert giga_macs(create_config(variant)) < giga_macs(create_config(pooled)) / 2
