"""Front ends and blocks of `optimize_for_inference`: batch norms folded into the convolutions.

Like those of `layers_samplecnn.py`, they pass on feature maps [segments, channels, 1, frames] in channels-last
memory, where max-pooling is a maximum over rows. Convolutions of many frames run in pieces, which stay in the cache.
"""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from .configuration_samplecnn import KERNEL_SIZE
from .layers_samplecnn import at_least_float32, frame_waveform

CPU_PIECE_BYTES = 6 * 2**20  # of the output of a convolution
LARGEST_KEPT_BLOCK = 2**25 - 2**13  # bytes; glibc never keeps blocks of more than 32 MiB, with their headers


def keep_freed_memory():
    """
    Let glibc keep freed feature maps: getting them back from the system, page by page, is slow.

    glibc returns freed blocks to the system above a threshold, which rises to the size of the largest block freed so
    far (`M_MMAP_THRESHOLD` in mallopt(3)). This allocates and frees a large one. It affects the whole process; other C
    libraries are not affected.
    """
    torch.empty(LARGEST_KEPT_BLOCK, dtype=torch.uint8, device="cpu")


def fold(convolution: nn.Module, norm: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Weights and biases, in float64, of a convolution or dense layer followed by a batch norm.

    Raises:
        ValueError: The layers are not plain ones.
    """
    if not isinstance(convolution, (nn.Conv1d, nn.Linear)) or not isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d)):
        names = f"{type(convolution).__name__} and {type(norm).__name__}"
        raise ValueError(f"{names} cannot be optimized for inference: merge adapters first (merge_and_unload)")
    weight, bias, scale, shift, mean, variance = (
        tensor.detach().cpu().double()  # Apple's GPUs have no float64
        for tensor in (
            convolution.weight,
            convolution.bias,
            norm.weight,
            norm.bias,
            norm.running_mean,
            norm.running_var,
        )
    )
    scale = scale / (variance + norm.eps).sqrt()
    return weight * scale.view(-1, *[1] * (weight.dim() - 1)), shift + scale * (bias - mean)


def frozen(value: torch.Tensor, dtype: torch.dtype) -> nn.Parameter:
    memory_format = torch.channels_last if value.dim() == 4 else torch.contiguous_format
    return nn.Parameter(value.to(dtype).contiguous(memory_format=memory_format), requires_grad=False)


class FoldedDense(nn.Module):
    """A dense layer and its batch norm."""

    def __init__(self, dense: nn.Linear, norm: nn.Module, dtype: torch.dtype):
        super().__init__()
        weight, bias = fold(dense, norm)
        self.weight, self.bias = frozen(weight, dtype), frozen(bias, dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight, self.bias)


class FoldedStem(nn.Module):
    """`SampleCNNStem`: a matrix product of frames, in float [segments, samples]."""

    def __init__(self, stem: nn.Module, dtype: torch.dtype):
        super().__init__()
        weight, bias = fold(stem.conv, stem.norm)
        self.weight = frozen(torch.cat([weight[:, 0].T, bias[None]]), dtype)  # [kernel_size + 1, channels]
        (self.kernel_size,), (self.stride,), (self.padding,) = (
            stem.conv.kernel_size,
            stem.conv.stride,
            stem.conv.padding,
        )
        self.pool = 1 if isinstance(stem.pool, nn.Identity) else stem.pool.kernel_size[1]

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        frames = frame_waveform(waveform, self.kernel_size, self.stride, self.padding)
        frames = F.pad(frames, (0, 1), value=1)  # the factor of the bias; addmm would first fill the output with it
        num_rows = frames.shape[1] // self.pool
        output = self.weight.new_empty(len(waveform), num_rows, self.weight.shape[1])
        size = _rows_per_piece(output, self.pool)
        for n in range(len(waveform)):
            for i in range(0, num_rows, size):
                rows = slice(i, min(i + size, num_rows))
                piece = frames[n, self.pool * rows.start : self.pool * rows.stop]
                if self.pool == 1:
                    _rectify(torch.mm(piece, self.weight, out=output[n, rows]))
                else:
                    _pool_and_rectify((piece @ self.weight)[None], self.pool, out=output[n : n + 1, rows])
        return _to_map(output)


class FoldedConvolution(nn.Module):
    """A convolution of a block, its batch norm, the following max-pooling if any, and ReLU if `relu`."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, dtype: torch.dtype, stride=1, pool=1, relu=True):
        super().__init__()
        self.weight, self.bias = frozen(weight.unsqueeze(2), dtype), frozen(bias, dtype)
        self.stride, self.pool, self.relu = stride, pool, relu
        self.padding = max(0, weight.shape[2] - stride) // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.stride > self.weight.shape[3]:  # as in SampleCNNConv1d
            x = x[..., : x.shape[3] // self.stride * self.stride]
        if self.pool == 1:
            y = self.convolve(x)
            return _to_map(_rectify(y) if self.relu else y)
        num_rows = x.shape[3] // self.pool
        output = x.new_empty(len(x), num_rows, len(self.bias))
        size = _rows_per_piece(output, self.pool)
        if num_rows <= size:
            return _to_map(_pool_and_rectify(self.convolve(x), self.pool, out=output))
        for n in range(len(x)):
            for i in range(0, num_rows, size):
                # Pieces overlap by a frame on both sides, where the output is not used.
                rows = slice(i, min(i + size, num_rows))
                first, stop = self.pool * rows.start, self.pool * rows.stop
                start = max(0, first - 1)
                piece = self.convolve(x[n : n + 1, ..., start : stop + 1])[:, first - start : stop - start]
                _pool_and_rectify(piece, self.pool, out=output[n : n + 1, rows])
        return _to_map(output)

    def convolve(self, x: torch.Tensor) -> torch.Tensor:
        """[segments, channels, 1, frames] -> [segments, frames, channels]."""
        y = F.conv2d(x, self.weight, self.bias, stride=(1, self.stride), padding=(0, self.padding))
        return y[:, :, 0].transpose(1, 2)


def _rows_per_piece(output: torch.Tensor, pool: int) -> int:
    if output.device.type != "cpu":
        return max(1, output.shape[1])
    return max(1, CPU_PIECE_BYTES // (pool * output.shape[2] * output.element_size()))


def _comparable(x: torch.Tensor) -> torch.Tensor:
    """A view for comparisons that end in ReLU.

    The bits of bf16 numbers, as int16, have the order of positive numbers and the sign of negative ones. CPUs compare
    int16 several times as fast, but NaN may become 0: the model checks its weights and inputs.
    """
    return x.view(torch.int16) if x.dtype == torch.bfloat16 and x.device.type == "cpu" else x


def _rectify(x: torch.Tensor) -> torch.Tensor:
    """ReLU, in place."""
    _comparable(x).clamp_min_(0)
    return x


def _pool_and_rectify(x: torch.Tensor, size: int, out: torch.Tensor) -> torch.Tensor:
    """Max-pooling of [segments, frames, channels] and ReLU."""
    first, *others = _comparable(x[:, : x.shape[1] // size * size]).unflatten(1, (-1, size)).unbind(2)
    result = _comparable(out)
    torch.clamp_min(first, 0, out=result)
    for rows in others:
        torch.maximum(result, rows, out=result)
    return out


def _to_map(x: torch.Tensor) -> torch.Tensor:
    return x.transpose(1, 2).unsqueeze(2)


class InplaceSqueezeExcitation(nn.Module):
    """`SampleCNNSqueezeExcitation` in place, its dense layers in float32: faster than bf16 for single vectors."""

    def __init__(self, se: nn.Module, dtype: torch.dtype):
        super().__init__()
        self.se = copy.deepcopy(se).to(torch.promote_types(dtype, torch.float32))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        magnitude = at_least_float32(x[:, :, 0]).mean(2).to(self.se.squeeze.weight.dtype)
        excitation = self.se.excitation(magnitude).to(x.dtype)
        return x.mul_(excitation[:, :, None, None]), excitation


class FoldedBlock(nn.Module):
    """`SampleCNNBlock`."""

    def __init__(self, block: nn.Module, dtype: torch.dtype):
        super().__init__()
        strided = isinstance(block.pool, nn.Identity)
        self.stride, self.pool = (KERNEL_SIZE, 1) if strided else (1, KERNEL_SIZE)
        self.se = None if block.se is None else InplaceSqueezeExcitation(block.se, dtype)
        self.fold(block, dtype)

    def fold(self, block: nn.Module, dtype: torch.dtype):
        self.conv = FoldedConvolution(*fold(block.conv, block.norm), dtype, self.stride, self.pool)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        x = self.convolve(x)
        return (x, None) if self.se is None else self.se(x)

    def convolve(self, x: torch.Tensor) -> torch.Tensor:
        """The block up to its squeeze-and-excitation."""
        return self.conv(x)


class FoldedResidualBlock(FoldedBlock):
    """`SampleCNNResidualBlock`. In a Res-1 block, the shortcut is added to the weights of the convolution."""

    def fold(self, block: nn.Module, dtype: torch.dtype):
        layers = [layer for layer in block.body if not isinstance(layer, (nn.ReLU, nn.Dropout))]
        *first, (weight, bias) = [fold(*pair) for pair in zip(layers[::2], layers[1::2], strict=True)]
        self.first = FoldedConvolution(*first[0], dtype, self.stride) if first else None
        self.conv = self.shortcut = None
        is_identity = isinstance(block.shortcut, nn.Identity)
        if self.first is None and self.se is None:
            center = 0 if self.stride > 1 else KERNEL_SIZE // 2  # the tap at the frame of the shortcut
            shortcut = torch.eye(len(bias)).to(weight)[:, :, None], torch.zeros_like(bias)
            shortcut_weight, shortcut_bias = shortcut if is_identity else fold(*block.shortcut)
            weight[:, :, center] += shortcut_weight[:, :, 0]
            self.conv = FoldedConvolution(weight, bias + shortcut_bias, dtype, self.stride, self.pool)
            return
        self.last = FoldedConvolution(weight, bias, dtype, 1 if first else self.stride, relu=False)
        if not is_identity:
            self.shortcut = FoldedConvolution(*fold(*block.shortcut), dtype, self.stride, relu=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        if self.conv is not None:
            return super().forward(x)
        residual, excitation = self.last(x if self.first is None else self.first(x)), None
        if self.se is not None:
            residual, excitation = self.se(residual)
        residual += x if self.shortcut is None else self.shortcut(x)
        rows = residual[:, :, 0].transpose(1, 2)
        if self.pool == 1:
            return _to_map(_rectify(rows)), excitation
        output = rows.new_empty(len(rows), rows.shape[1] // self.pool, rows.shape[2])
        return _to_map(_pool_and_rectify(rows, self.pool, out=output)), excitation


def folded_modules(model: nn.Module, dtype: torch.dtype) -> list[tuple[nn.Module, str, nn.Module]]:
    """The modules, as (parent, name, module), that replace those with batch norms of a body or of a classifier."""
    if hasattr(model, "classifier"):
        head = model.classifier
        return [(head, "dense", FoldedDense(head.dense, head.norm, dtype)), (head, "norm", nn.Identity())]
    block_class = FoldedBlock if model.config.block_type in ("basic", "se") else FoldedResidualBlock
    blocks = nn.ModuleList(block_class(block, dtype) for block in model.blocks)
    stem = FoldedStem(model.front_end, dtype) if model.config.front_end == "waveform" else model.front_end
    return [(model, "front_end", stem), (model, "blocks", blocks)]
