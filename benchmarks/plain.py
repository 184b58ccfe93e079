"""
Reference implementation of the paper's networks with standard 1-D layers, as in other PyTorch implementations.

The tests compare outputs and gradients with it, the benchmarks compare the speed.
"""

import torch
from torch import nn


class PlainSE(nn.Module):
    def __init__(self, channels, ratio):
        super().__init__()
        self.squeeze = nn.Linear(channels, round(ratio * channels))
        self.excite = nn.Linear(round(ratio * channels), channels)

    def forward(self, x):
        return x * torch.sigmoid(self.excite(torch.relu(self.squeeze(x.mean(-1))))).unsqueeze(-1)


def plain_conv(channels_in, channels_out, strided):
    return nn.Conv1d(channels_in, channels_out, 3, stride=3 if strided else 1, padding=0 if strided else 1)


def plain_norm(channels):
    return nn.BatchNorm1d(channels, eps=1e-3, momentum=0.01)


class PlainBlock(nn.Module):
    def __init__(self, channels_in, channels_out, block_type, strided, ratio):
        super().__init__()
        self.conv = plain_conv(channels_in, channels_out, strided)
        self.norm = plain_norm(channels_out)
        self.pool = nn.Identity() if strided else nn.MaxPool1d(3)
        self.se = PlainSE(channels_out, ratio) if block_type == "se" else nn.Identity()

    def forward(self, x):
        return self.se(self.pool(torch.relu(self.norm(self.conv(x)))))


class PlainResidualBlock(nn.Module):
    def __init__(self, channels_in, channels_out, block_type, strided, ratio):
        super().__init__()
        self.body = nn.Sequential(plain_conv(channels_in, channels_out, strided), plain_norm(channels_out))
        if block_type.endswith("2"):
            self.body.append(nn.ReLU()).append(nn.Dropout(0.2))
            self.body.append(plain_conv(channels_out, channels_out, False)).append(plain_norm(channels_out))
        self.shortcut = nn.Identity()
        self.strided = strided
        if channels_in != channels_out or strided:
            conv = nn.Conv1d(channels_in, channels_out, 1, stride=3 if strided else 1)
            self.shortcut = nn.Sequential(conv, plain_norm(channels_out))
        self.se = PlainSE(channels_out, ratio) if block_type.startswith("rese") else nn.Identity()
        self.pool = nn.Identity() if strided else nn.MaxPool1d(3)

    def forward(self, x):
        if self.strided:
            x = x[..., : x.shape[-1] // 3 * 3]  # a multiple of three
        return self.pool(torch.relu(self.shortcut(x) + self.se(self.body(x))))


class PlainSampleCNN(nn.Module):
    """Parameters have the names of `SampleCNNForAudioClassification`: both load the same state dict."""

    def __init__(self, config):
        super().__init__()
        strided = config.num_strided_convolutions
        kernel_size, stride = config.stem_kernel_size, config.stem_stride if strided else 1
        self.samplecnn = nn.Module()
        self.samplecnn.front_end = nn.Module()
        padding = (kernel_size - stride) // 2
        self.samplecnn.front_end.conv = nn.Conv1d(1, config.stem_channels, kernel_size, stride, padding)
        self.samplecnn.front_end.norm = plain_norm(config.stem_channels)
        self.stem_pool = nn.Identity() if strided else nn.MaxPool1d(config.stem_stride)
        channels = [config.stem_channels] * 3 + [2 * config.stem_channels] * (config.num_blocks - 3)
        channels += [4 * config.stem_channels]
        block_class = PlainBlock if config.block_type in ("basic", "se") else PlainResidualBlock
        self.samplecnn.blocks = nn.ModuleList(
            block_class(channels[i], channels[i + 1], config.block_type, i + 1 < strided, config.se_ratio)
            for i in range(config.num_blocks)
        )
        self.num_levels = 3 if config.multi_level else 1
        embedding = sum(channels[-self.num_levels :])
        self.classifier = nn.Module()
        self.classifier.dense = nn.Linear(embedding, embedding)
        self.classifier.norm = plain_norm(embedding)
        self.classifier.out_proj = nn.Linear(embedding, config.num_labels)

    def forward(self, segments):
        """Compute logits [segments, labels] from segments [segments, samples]."""
        stem = self.samplecnn.front_end
        x = self.stem_pool(torch.relu(stem.norm(stem.conv(segments.unsqueeze(1)))))
        levels = []
        for block in self.samplecnn.blocks:
            x = block(x)
            levels.append(x.amax(-1))
        x = torch.cat(levels[-self.num_levels :], 1)
        return self.classifier.out_proj(torch.relu(self.classifier.norm(self.classifier.dense(x))))
