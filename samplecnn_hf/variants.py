"""
Every network of the paper by name: `list_variants()`, `create_config("se-9")`.

Fig. 4 and Table II replace the lower blocks by a longer stem. The paper gives the filter, the stride and the number of
blocks; two things it leaves open, and the registry assumes:

- Channels double at the third of the *remaining* blocks and at the last, as they would in the authors' code. The
  alternative, the upper blocks of the full network as they are, is `first_doubling=max(0, 2 - n)` for `n` blocks fewer
  than with the 3x3 stem: `create_config("se-9-stem9x9", first_doubling=1)`, and 0 for all longer stems.
- Windows are centred on the strides, with (filter - stride) / 2 zeros at either end, and samples that do not fill a
  stride are dropped. 59,049 samples are a multiple of every stride; 22,050 are not of 27 and more. The alternative,
  Keras' "same" padding (that of the 3x3 stem in the authors' 2019 code), is `partial_frames="pad"`. It applies to the
  mel-spectrograms and to the strided convolutions of Fig. 5 (family 8, k >= 3), too.

Both alternatives as tables: training/experiments/figures/figure_4.py.
"""

import dataclasses
import difflib

from .configuration_samplecnn import BLOCK_TYPES, SampleCNNConfig

# The paper's two families (Table I): 59,049 samples and 9 blocks for music, 22,050 and 8 for speech and scenes.
FAMILIES = {9: {"num_blocks": 9, "segment_length": 59049}, 8: {"num_blocks": 8, "segment_length": 22050}}

# Fig. 4 and Table II: filter and stride of the stem, number of blocks fewer than with 3x3, and the stem channels that
# keep the number of parameters of a basic network fixed (1.87M with 50 labels for 9, 1.66M with 35 labels for 8).
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

# Small enough for tests: 1,458 samples, five blocks of 8 to 32 channels.
TINY = {"num_blocks": 5, "segment_length": 1458, "stem_channels": 8}


def _build_registry() -> dict[str, dict]:
    variants = {}
    for family, size in FAMILIES.items():
        for block_type in BLOCK_TYPES:  # Fig. 6
            variants[f"{block_type}-{family}"] = {"block_type": block_type, **size}
            variants[f"{block_type}-{family}-multi"] = {"block_type": block_type, "multi_level": True, **size}
        for strided in range(family + 1):  # Fig. 5
            variants[f"basic-{family}-strided{strided}"] = {"num_strided_convolutions": strided, **size}
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
    """Names of all networks, sorted. The number after the block type is the family: 9 (music) or 8 (one second)."""
    return sorted(_VARIANTS)


def create_config(variant: str, **overrides) -> SampleCNNConfig:
    """
    Configuration of a network by name, with any field of `SampleCNNConfig` (or `num_labels`) overridden.

    Example: `create_config("se-8", num_labels=35)`. Raises `ValueError` for a name that is not in `list_variants()`
    and for a field that does not exist.
    """
    _check_name("variant", variant, list(_VARIANTS), "see samplecnn_hf.list_variants()")
    for name in overrides:
        fields = [field.name for field in dataclasses.fields(SampleCNNConfig)]
        _check_name("field", name, ["num_labels", *fields], "see SampleCNNConfig")
    return SampleCNNConfig(**{**_VARIANTS[variant], **overrides})


def _check_name(kind: str, name: str, known: list[str], advice: str):
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3)
        hint = f"did you mean {', '.join(close)}?" if close else advice
        raise ValueError(f"there is no {kind} {name!r}; {hint}")
