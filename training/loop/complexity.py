"""Computational cost of a network: multiply-accumulates and speed."""

import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from samplecnn_hf import SampleCNNConfig, SampleCNNForAudioClassification

WARM_UP, ROUNDS = 1, 3


def on_meta_device(config: SampleCNNConfig) -> SampleCNNForAudioClassification:
    """The network on the meta device, for shapes and counts."""
    with torch.device("meta"):
        return SampleCNNForAudioClassification(config).eval()


def giga_macs(config: SampleCNNConfig) -> float:
    """Multiply-accumulates per segment in 10^9, of convolutions and matrix products."""
    model = on_meta_device(config)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, config.segment_length, device="meta"))
    return counter.get_total_flops() / 2 / 1e9


@torch.inference_mode()
def segments_per_second(model: SampleCNNForAudioClassification, num_segments: int = 16) -> float:
    """Segments classified per second on the device and with the dtype of the model: the fastest of three rounds."""
    model.eval()
    segments = torch.zeros(1, num_segments, model.config.segment_length, device=model.device, dtype=model.dtype)
    seconds = []
    for _ in range(WARM_UP + ROUNDS):
        start = time.perf_counter()
        model(segments).logits.sum().item()  # waits for the device
        seconds.append(time.perf_counter() - start)
    return num_segments / min(seconds[WARM_UP:])
