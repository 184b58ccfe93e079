"""Overlapping windows of one waveform, whose lower layers run once for all of them.

Where the hop is a multiple of the samples per frame of a layer, the frames of two windows coincide. They differ only
within a few positions of the ends of each window, which depend on the zeros around it (`edge` frames; here edge = 1):

    frames of the waveform    . . . . . . . . . . . .      computed once, in pieces
    window                      L . . . . . R              L, R: from strips of 2 * edge frames of the window alone
    next window                       L . . . . . R

Layers up to a squeeze-and-excitation can be shared; it rescales by a mean over the window. The result is that of the
windows one by one, except for rounding.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F

from .configuration_samplecnn import KERNEL_SIZE, SampleCNNConfig
from .layers_samplecnn import at_least_float32
from .modeling_samplecnn import (
    CPU_SEGMENTS_AT_A_TIME,
    SEGMENTS_AT_A_TIME,
    SampleCNNForAudioClassification,
    SampleCNNModel,
)
from .segments_samplecnn import Clips


class Level(NamedTuple):
    """Output of the front end (depth 0) or of a block for one window."""

    depth: int
    grid: int  # samples per frame
    frames: int
    edge: int  # frames at each end that depend on the zeros around the window


def shareable_levels(config: SampleCNNConfig, num_samples: int) -> list[Level]:
    """Levels below the first squeeze-and-excitation, for windows of `num_samples` samples."""
    strides, grid = config.strides, config.stem_stride
    padding = (config.stem_kernel_size - strides[0]) // 2
    if config.block_type in ("rese1", "rese2") or _pads(config, num_samples, strides[0]):
        return []  # these blocks excite before they pool: the shared frames would be most of the memory
    levels = [Level(0, grid, num_samples // grid, math.ceil(padding / grid))]
    num_convolutions = 2 if config.block_type == "res2" else 1
    highest = config.num_blocks - (3 if config.multi_level else 1)  # the last ones make the embedding
    if config.block_type == "se":
        highest = min(highest, 1)
    for depth in range(1, highest + 1):
        _, grid, frames, edge = levels[-1]
        if _pads(config, frames, strides[depth]):
            break
        if strides[depth] > 1:
            edge = math.ceil(edge / KERNEL_SIZE) + num_convolutions - 1
        else:
            edge = math.ceil((edge + num_convolutions) / KERNEL_SIZE)
        levels.append(Level(depth, grid * KERNEL_SIZE, frames // KERNEL_SIZE, edge))
    return levels


def _pads(config: SampleCNNConfig, length: int, stride: int) -> bool:
    """Whether a layer pads partial frames, which shifts the frames of each window."""
    return config.partial_frames == "pad" and length % stride > 0


def choose_level(config: SampleCNNConfig, num_samples: int, hop_length: int) -> Level | None:
    """The level up to which sharing saves the most work; `None` if it saves nothing."""
    channels = [1, config.stem_channels, *config.block_channels]
    filters = [config.stem_kernel_size, *[KERNEL_SIZE] * config.num_blocks]
    positions = [config.stem_stride * KERNEL_SIZE**i for i in range(config.num_blocks + 1)]
    if config.strides[0] == 1:
        positions[0] = 1
    # Multiplications per sample of the waveform; pooled layers compute all frames of the level below.
    pooled = [False, *(stride == 1 for stride in config.strides[1:])]
    work = [
        channels[i] * channels[i + 1] * filters[i] / (positions[i] / KERNEL_SIZE if pooled[i] else positions[i])
        for i in range(len(filters))
    ]
    best, lowest_cost = None, sum(work) * num_samples
    for level in shareable_levels(config, num_samples):
        depth, grid, frames, edge = level
        if hop_length % grid == 0 and frames > 2 * edge:
            computed = hop_length * frames / (frames - 2 * edge) + 4 * edge * grid  # samples per window
            cost = sum(work[: depth + 1]) * computed + sum(work[depth + 1 :]) * num_samples
            if cost < lowest_cost:
                best, lowest_cost = level, cost
    return best


class OverlappingWindows:
    """
    Runs a network on overlapping windows of one waveform, for inference.

    Args:
        model: The network.
        timeline: The `timeline_extractor` that cut the windows. Windows that it normalized one by one share nothing.
    """

    def __init__(self, model: SampleCNNModel, timeline):
        self.model, self.hop_length = model, None if timeline.do_normalize else timeline.hop_length
        self.batch_size = CPU_SEGMENTS_AT_A_TIME if model.device.type == "cpu" else SEGMENTS_AT_A_TIME

    def embed(self, windows: torch.Tensor) -> torch.Tensor:
        """
        Args:
            windows: Successive windows of one waveform [windows, samples].

        Returns:
            `segment_embeddings` of the windows [windows, hidden_size].
        """
        level = None
        if self.hop_length is not None and len(windows) > 1:
            level = choose_level(self.model.config, windows.shape[1], self.hop_length)
        if level is None:
            outputs = self.model(windows.unsqueeze(0), output_last_hidden_state=False, return_dict=True)
            return outputs.segment_embeddings[0]
        shared = self._shared_frames(windows, level)
        edge, hop = level.edge, self.hop_length // level.grid
        left = self._lower(windows[:, : 2 * edge * level.grid], level, slice(0, edge))
        right = self._lower(windows[:, (level.frames - 2 * edge) * level.grid :], level, slice(edge, 2 * edge))
        embeddings = []
        for first in range(0, len(windows), self.batch_size):
            frames = [
                torch.cat([left[i], shared[i * hop + edge : i * hop + level.frames - edge], right[i]])
                for i in range(first, min(first + self.batch_size, len(windows)))
            ]
            embeddings.append(self._upper(torch.stack(frames), level.depth))
        return torch.cat(embeddings)

    def _shared_frames(self, windows: torch.Tensor, level: Level) -> torch.Tensor:
        """Frames [frames, channels] of the waveform; those at its ends are wrong, and no window needs them.

        They are computed in pieces of at most the length of a window, which fit in the cache.
        """
        waveform = torch.cat([windows[0], windows[1:, -self.hop_length :].flatten()])
        _, grid, frames, edge = level
        num_frames = len(waveform) // grid
        num_pieces = math.ceil(num_frames / (frames - 2 * edge))
        step = math.ceil(num_frames / num_pieces)
        missing = (num_pieces * step + edge) * grid - len(waveform)
        pieces = F.pad(waveform, (edge * grid, missing)).unfold(0, (step + 2 * edge) * grid, step * grid)
        return self._lower(pieces, level, slice(edge, edge + step)).flatten(0, 1)

    def _lower(self, waveforms: torch.Tensor, level: Level, kept: slice) -> torch.Tensor:
        """Run the shared layers and keep some of the frames: [waveforms, samples] -> [waveforms, frames, channels]."""
        model, depth = self.model, level.depth
        channels = [model.config.stem_channels, *model.config.block_channels][depth]
        output = waveforms.new_empty(len(waveforms), kept.stop - kept.start, channels, dtype=model.dtype)
        if output.shape[1] == 0:  # there are no edges
            return output
        # At a time as many samples as the model computes.
        size = max(1, self.batch_size * level.frames * level.grid // waveforms.shape[1])
        for part, rows in zip(waveforms.split(size), output.split(size), strict=True):
            hidden_states = model.front_end(part.to(model.dtype))
            for block in model.blocks[:depth]:
                hidden_states = block.convolve(hidden_states) if block.se is not None else block(hidden_states)[0]
            rows.copy_(hidden_states[:, :, 0, kept].transpose(1, 2))
        return output

    def _upper(self, frames: torch.Tensor, depth: int) -> torch.Tensor:
        """Run the other layers: [windows, frames, channels] -> embeddings [windows, hidden_size]."""
        model, maxima = self.model, []
        hidden_states = frames.transpose(1, 2).unsqueeze(2)
        if depth > 0 and (se := model.blocks[depth - 1].se) is not None:
            hidden_states, _ = se(hidden_states)
        for block, stride in zip(model.blocks[depth:], model.config.strides[1 + depth :], strict=True):
            hidden_states, _ = block(model._pad_partial_frame(hidden_states, stride))
            maxima.append(hidden_states.amax((2, 3)))
        return torch.cat(maxima[-3:], dim=1) if model.config.multi_level else maxima[-1]


def timeline_logits(
    model: SampleCNNForAudioClassification,
    timeline,
    input_values: torch.Tensor,
    mask: torch.Tensor,
    in_timeline: torch.Tensor,
) -> torch.Tensor:
    """
    `segment_logits` of a model in inference for clips with a timeline.

    Args:
        model: The model.
        timeline: The `timeline_extractor` that cut and normalized the windows.
        input_values: [batch, windows, samples].
        mask: Real windows, bool [batch, windows].
        in_timeline: Which of them are successive windows of a clip, bool [batch, windows].

    Returns:
        [batch, windows, labels], 0 for padding.
    """
    overlapping = OverlappingWindows(model.samplecnn, timeline)
    others = mask & ~in_timeline
    embeddings = input_values.new_zeros(*mask.shape, model.config.hidden_size, dtype=model.dtype)
    for i, successive in enumerate(in_timeline):
        if successive.any():
            embeddings[i, successive] = overlapping.embed(input_values[i, successive])
    if others.any():
        outputs = model.samplecnn(input_values[others], output_last_hidden_state=False, return_dict=True)
        embeddings[others] = outputs.pooler_output
    clips = Clips(mask.shape, mask)
    return clips.unpack(at_least_float32(model.classifier(clips.pack(embeddings))))
