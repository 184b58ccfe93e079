"""Layers of SampleCNN, from the bottom of the network up: convolution, front ends, squeeze-and-excitation, blocks.

Feature maps are [segments, channels, 1, frames] in channels-last memory: 1-D convolutions change the memory layout in
every layer, 2-D convolutions over a height of 1 do not (and suit tensor cores).
"""

import torch
import torch.nn.functional as F
from torch import nn
from transformers.audio_utils import mel_filter_bank

from .configuration_samplecnn import KERNEL_SIZE, SampleCNNConfig


class SampleCNNConv1d(nn.Conv1d):
    """`nn.Conv1d` on [segments, channels, 1, frames]. LoRA calls the same constructor for its layers."""

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        (kernel_size,), (stride,), (padding,) = self.kernel_size, self.stride, self.padding
        if stride > kernel_size:  # a strided shortcut drops the same frames as the body
            hidden_states = hidden_states[..., : hidden_states.shape[-1] // stride * stride]
        # The stem is faster as a matrix product of frames, which ONNX would export as a gather of all samples.
        if self.in_channels == 1 and not torch.compiler.is_exporting():
            frames = frame_waveform(hidden_states[:, 0, 0], kernel_size, stride, padding)
            return F.linear(frames, self.weight.squeeze(1), self.bias).transpose(1, 2).unsqueeze(2)
        return F.conv2d(hidden_states, self.weight.unsqueeze(2), self.bias, stride=(1, stride), padding=(0, padding))


def convolution(in_channels: int, out_channels: int, kernel_size: int = KERNEL_SIZE, stride: int = 1) -> nn.Module:
    """A convolution that keeps the number of frames, divided by its stride."""
    return SampleCNNConv1d(in_channels, out_channels, kernel_size, stride, padding=max(0, kernel_size - stride) // 2)


def batch_norm(num_channels: int, config: SampleCNNConfig, norm_class: type[nn.Module] = nn.BatchNorm2d) -> nn.Module:
    return norm_class(num_channels, eps=config.batch_norm_eps, momentum=config.batch_norm_momentum)


def at_least_float32(x: torch.Tensor) -> torch.Tensor:
    """Cast half precision to float32; float32 and float64 are unchanged."""
    return x if x.dtype == torch.float64 else x.float()


def frame_waveform(waveform: torch.Tensor, frame_length: int, hop_length: int, padding: int) -> torch.Tensor:
    """Cut [segments, samples] into frames [segments, frames, frame_length]."""
    if padding > 0:
        waveform = F.pad(waveform, (padding, padding))
    return waveform.unfold(-1, frame_length, hop_length)


class SampleCNNStem(nn.Module):
    """The first convolution (Fig. 1)."""

    def __init__(self, config: SampleCNNConfig):
        super().__init__()
        strided = config.num_strided_convolutions > 0
        self.conv = convolution(1, config.stem_channels, config.stem_kernel_size, config.strides[0])
        self.norm = batch_norm(config.stem_channels, config)
        self.pool = nn.Identity() if strided else nn.MaxPool2d((1, config.stem_stride))

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        plain = (
            type(self.conv) is SampleCNNConv1d and type(self.norm) is nn.BatchNorm2d
        )  # neither LoRA nor synchronized
        if plain and self.norm.training:
            return F.relu(self.pool(self.normalized_convolution(waveform)))
        return F.relu(self.pool(self.norm(self.conv(waveform[:, None, None]))))

    def normalized_convolution(self, waveform: torch.Tensor) -> torch.Tensor:
        """`norm(conv(waveform))` in training as one matrix product.

        The convolution is linear in frames of a few samples, so their mean and covariance give the batch statistics of
        all channels, and the normalization goes into the weights. It saves a sixth of a training step.
        """
        (kernel_size,), (stride,), (padding,) = self.conv.kernel_size, self.conv.stride, self.conv.padding
        frames = frame_waveform(waveform, kernel_size, stride, padding)
        with torch.autocast(waveform.device.type, enabled=False):
            vectors = at_least_float32(frames).flatten(0, 1)
            weight, bias = at_least_float32(self.conv.weight).squeeze(1), at_least_float32(self.conv.bias)
            center = vectors.mean(0)
            centered = vectors - center
            covariance = centered.T @ centered / len(vectors)
            mean, variance = F.linear(center, weight, bias), ((weight @ covariance) * weight).sum(1)
            scale = self.norm.weight * (variance + self.norm.eps).rsqrt()
            weight, bias = scale[:, None] * weight, self.norm.bias + scale * (bias - mean)
            self.update_statistics(mean.detach(), variance.detach() * len(vectors) / (len(vectors) - 1))
        return F.linear(frames, weight.to(frames.dtype), bias.to(frames.dtype)).transpose(1, 2).unsqueeze(2)

    def update_statistics(self, mean: torch.Tensor, variance: torch.Tensor):
        norm = self.norm
        norm.num_batches_tracked += 1
        momentum = norm.momentum if norm.momentum is not None else 1 / norm.num_batches_tracked
        norm.running_mean += momentum * (mean - norm.running_mean)
        norm.running_var += momentum * (variance - norm.running_var)


class SampleCNNMelSpectrogram(nn.Module):
    """The fixed front end of the paper's spectrogram-based CNN: log(1 + C * mel) of a Hann-windowed spectrum (V-A)."""

    def __init__(self, config: SampleCNNConfig):
        super().__init__()
        self.config = config
        # Saved with the weights: from_pretrained runs this code on the meta device.
        for name, value in self.constants().items():
            self.register_buffer(name, value)

    def constants(self) -> dict[str, torch.Tensor]:
        """The values of the buffers."""
        bins, rate = self.config.n_fft // 2 + 1, self.config.sampling_rate
        filters = mel_filter_bank(bins, self.config.stem_channels, 0.0, rate / 2, rate, "slaney", "slaney")
        window = torch.hann_window(self.config.stem_kernel_size, dtype=torch.float32)
        return {"mel_filters": torch.tensor(filters, dtype=torch.float32), "window": window}

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        window_length, hop_length = self.config.stem_kernel_size, self.config.stem_stride
        padding = (window_length - hop_length) // 2
        frames = frame_waveform(at_least_float32(waveform), window_length, hop_length, padding)
        magnitude = torch.fft.rfft(frames * self.window.to(frames.dtype), n=self.config.n_fft).abs()
        mel = torch.log1p(self.config.mel_compression * (magnitude @ self.mel_filters.to(frames.dtype)))
        return mel.to(waveform.dtype).transpose(1, 2).unsqueeze(2)


class SampleCNNSqueezeExcitation(nn.Module):
    """Scales each channel by a function of the means of all channels over time (Fig. 3e, section III-B)."""

    def __init__(self, channels: int, config: SampleCNNConfig):
        super().__init__()
        squeezed = max(1, round(config.se_ratio * channels))
        self.squeeze = nn.Linear(channels, squeezed)
        self.excite = nn.Linear(squeezed, channels)

    def forward(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[segments, channels, 1, frames] -> the same, scaled, and the excitation [segments, channels]."""
        # Frames before channels, as in memory: the gradient of the mean has this layout, too.
        excitation = self.excitation(hidden_states.permute(0, 2, 3, 1).mean((1, 2)))
        return hidden_states * excitation[:, :, None, None], excitation

    def excitation(self, magnitude: torch.Tensor) -> torch.Tensor:
        """Means over time -> factors in (0, 1), both [segments, channels]."""
        return self.excite(F.relu(self.squeeze(magnitude))).sigmoid()


class SampleCNNBlock(nn.Module):
    """Basic and SE block (Fig. 3a, 3c). ReLU commutes with max-pooling and is cheaper after it."""

    def __init__(self, in_channels: int, out_channels: int, strided: bool, config: SampleCNNConfig):
        super().__init__()
        self.conv = convolution(in_channels, out_channels, stride=KERNEL_SIZE if strided else 1)
        self.norm = batch_norm(out_channels, config)
        self.pool = nn.Identity() if strided else nn.MaxPool2d((1, KERNEL_SIZE))
        self.se = SampleCNNSqueezeExcitation(out_channels, config) if config.block_type == "se" else None

    def forward(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        hidden_states = self.convolve(hidden_states)
        return self.se(hidden_states) if self.se is not None else (hidden_states, None)

    def convolve(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """The block up to its squeeze-and-excitation."""
        return F.relu(self.pool(self.norm(self.conv(hidden_states))))


class SampleCNNResidualBlock(nn.Module):
    """Res-n and ReSE-n block (Fig. 3b, 3d): one or two convolutions with a shortcut, then ReLU and max-pooling."""

    def __init__(self, in_channels: int, out_channels: int, strided: bool, config: SampleCNNConfig):
        super().__init__()
        stride = KERNEL_SIZE if strided else 1
        self.shortcut = nn.Identity()
        if in_channels != out_channels or strided:
            self.shortcut = nn.Sequential(
                convolution(in_channels, out_channels, kernel_size=1, stride=stride),
                batch_norm(out_channels, config),
            )
        layers = [convolution(in_channels, out_channels, stride=stride), batch_norm(out_channels, config)]
        if config.block_type in ("res2", "rese2"):
            layers += [nn.ReLU(), nn.Dropout(config.block_dropout)]
            layers += [convolution(out_channels, out_channels), batch_norm(out_channels, config)]
        self.body = nn.Sequential(*layers)
        self.se = SampleCNNSqueezeExcitation(out_channels, config) if config.block_type.startswith("rese") else None
        self.pool = nn.Identity() if strided else nn.MaxPool2d((1, KERNEL_SIZE))

    def forward(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        residual, excitation = self.body(hidden_states), None
        if self.se is not None:
            residual, excitation = self.se(residual)
        return F.relu(self.pool(self.shortcut(hidden_states) + residual)), excitation
