"""
Golden outputs: what networks with known weights said about a known waveform when this file was last run.

    python tests/golden/make_golden.py

writes `<name>.safetensors` beside this file, a few hundred bytes each: `logits` [2, 3] and `pooler_output`
[2, hidden size]. Weights and input are formulas (sines), so they depend on no random generator and on no version of
one. `tests/samplecnn_hf/test_golden.py` compares. Run it again only after a change that is meant to change what
published checkpoints answer, and say so in CHANGELOG.md: an unplanned difference is a bug.
"""

import math
from pathlib import Path

import torch
from safetensors.torch import save_file

from samplecnn_hf import SampleCNNForAudioClassification, create_config

MEL = {"front_end": "mel", "stem_kernel_size": 243, "stem_stride": 81, "num_blocks": 2}
NETWORKS = {
    **{f"test-{block}": (f"test-{block}", {}) for block in ("basic", "se", "res1", "res2", "rese1", "rese2")},
    "mel": ("test-se", MEL),
    "multi": ("test-se", {"multi_level": True, "problem_type": "multi_label_classification"}),
    "strided": ("test-basic", {"num_strided_convolutions": 3}),
    "stem": ("test-basic", {"stem_kernel_size": 27, "stem_stride": 9, "num_blocks": 4}),
}


def wave(count: int, phase: float) -> torch.Tensor:
    """float64 in [-1, 1] without a pattern that a network could cancel: sines of squares."""
    index = torch.arange(count, dtype=torch.float64)
    return torch.sin(0.37 * index * index + phase)


def make_network(name: str) -> SampleCNNForAudioClassification:
    variant, overrides = NETWORKS[name]
    model = SampleCNNForAudioClassification(create_config(variant, num_labels=3, **overrides)).eval()
    parameters_and_statistics = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for phase, (key, tensor) in enumerate(parameters_and_statistics.items()):
        if key.endswith(("num_batches_tracked", "window", "mel_filters")):
            continue
        values = wave(tensor.numel(), phase).view(tensor.shape)
        if tensor.dim() > 1:
            values = values * 2 / math.sqrt(tensor[0].numel())
        elif key.endswith(("weight", "running_var")):
            values = 1 + 0.3 * values
        else:
            values = 0.1 * values
        with torch.no_grad():
            tensor.copy_(values)
    return model


def make_outputs(name: str) -> dict[str, torch.Tensor]:
    # two clips of three segments, of which the first clip uses two
    clips = 0.5 * wave(2 * 3 * 1458, 0.5).view(2, 3, 1458).float()
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    model = make_network(name)
    with torch.no_grad():
        logits = model(clips, attention_mask=mask).logits
        return {"logits": logits, "pooler_output": model.samplecnn(clips, attention_mask=mask).pooler_output}


if __name__ == "__main__":
    for name in NETWORKS:
        save_file(make_outputs(name), Path(__file__).with_name(f"{name}.safetensors"))
