"""
Networks of the paper by name: `list_variants()`, `create_config("se-9")`.

Fig. 4 and Table II replace the lower blocks by a longer stem. The paper gives its filter and stride and the number of
blocks, but not two details, for which the registry assumes:

- Channels double at the third of the *remaining* blocks and at the last, as in the authors' code. The alternative is
  to keep the channels that the blocks have in the full network: `first_doubling=max(0, 2 - n)` for `n` blocks fewer
  than with the 3x3 stem, i.e. `create_config("se-9-stem9x9", first_doubling=1)`, and 0 for all longer stems.
- Windows are centered, with (filter - stride) / 2 zeros at both ends, and samples that do not fill a stride are
  dropped. 59,049 samples are a multiple of every stride; 22,050 are not a multiple of 27 or more. The alternative,
  Keras' "same" padding (used for the 3x3 stem in the authors' 2019 code), is `partial_frames="pad"`. It also applies
  to mel-spectrograms and to the strided convolutions of Fig. 5 (family 8, 3 and more).

training/experiments/figures/figure_4.py compares both alternatives.
"""

import dataclasses
import difflib

from huggingface_hub.errors import StrictDataclassError

from .configuration_samplecnn import BLOCK_TYPES, SampleCNNConfig

# The paper's two families (Table I): 59,049 samples and 9 blocks for music, 22,050 and 8 for speech and scenes.
FAMILIES = {9: {"num_blocks": 9, "segment_length": 59049}, 8: {"num_blocks": 8, "segment_length": 22050}}

# Fig. 4 and Table II: {(filter, stride) of the stem: (number of blocks it replaces, {family: stem channels})}. The
# channels keep the number of parameters of a basic network (1.87M with 50 labels for 9, 1.66M with 35 labels for 8).
STEMS = {
    (729, 729): (5, {9: 181, 8: 298}),
    (729, 243): (4, {9: 163, 8: 170}),
    (243, 243): (4, {9: 167, 8: 175}),
    (243, 81): (3, {9: 154, 8: 158}),
    (81, 81): (3, {9: 155, 8: 159}),
    (27, 27): (2, {9: 144, 8: 147}),
    (9, 9): (1, {9: 135, 8: 136}),
}
SHORTEST_MEL_WINDOW = 81

# For tests: 1,458 samples, 5 blocks of 8 to 32 channels.
TINY = {"num_blocks": 5, "segment_length": 1458, "stem_channels": 8}


def _build_registry() -> dict[str, dict]:
    variants = {}
    for family, size in FAMILIES.items():
        for block_type in BLOCK_TYPES:  # Fig. 6
            variants[f"{block_type}-{family}"] = {"block_type": block_type, **size}
            variants[f"{block_type}-{family}-multi"] = {"block_type": block_type, "multi_level": True, **size}
            for strided in range(family + 1) if block_type == "basic" else (4,):  # Fig. 5, for basic blocks
                variants[f"{block_type}-{family}-strided{strided}"] = {
                    "block_type": block_type,
                    "num_strided_convolutions": strided,
                    **size,
                }
        for (kernel_size, stride), (fewer_blocks, fixed_channels) in STEMS.items():
            stem = {
                **size,
                "stem_kernel_size": kernel_size,
                "stem_stride": stride,
                "num_blocks": family - fewer_blocks,
            }
            name = f"{kernel_size}x{stride}"
            for block_type in ("basic", "se"):  # Fig. 4
                variants[f"{block_type}-{family}-stem{name}"] = {"block_type": block_type, **stem}
                if kernel_size >= SHORTEST_MEL_WINDOW:
                    variants[f"mel-{block_type}-{family}-{name}"] = {
                        "block_type": block_type,
                        "front_end": "mel",
                        **stem,
                    }
            variants[f"basic-{family}-stem{name}-fixed"] = {
                **stem,
                "stem_channels": fixed_channels[family],
            }  # Table II
    for block_type in BLOCK_TYPES:
        variants[f"test-{block_type}"] = {"block_type": block_type, **TINY}
    return variants


_VARIANTS = _build_registry()


def list_variants() -> list[str]:
    """
    Return the sorted names of all networks. The number is the family: 9 blocks (music) or 8 (clips of one second).
    """
    return sorted(_VARIANTS)


def create_config(variant: str, **overrides) -> SampleCNNConfig:
    """
    Create the configuration of a network, e.g. `create_config("se-8", num_labels=35)`.

    Args:
        variant: Name of the network, see `list_variants`.
        **overrides: Fields of `SampleCNNConfig`, or `num_labels`.

    Returns:
        The configuration.

    Raises:
        ValueError: The name or a field does not exist, or a value is invalid.
    """
    _check_name("variant", variant, list(_VARIANTS), "see samplecnn_hf.list_variants()")
    for name in overrides:
        fields = [field.name for field in dataclasses.fields(SampleCNNConfig)]
        _check_name("field", name, ["num_labels", *fields], "see SampleCNNConfig")
    try:
        return SampleCNNConfig(**{**_VARIANTS[variant], **overrides})
    except StrictDataclassError as error:
        raise ValueError(str(error.__cause__ or error)) from error


def _check_name(kind: str, name: str, known: list[str], advice: str):
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3)
        hint = f"did you mean {', '.join(close)}?" if close else advice
        raise ValueError(f"there is no {kind} {name!r}; {hint}")
