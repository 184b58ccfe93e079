"""
SampleCNN in float64 numpy, written from the paper's text and independent of `modeling_samplecnn.py`.

The layout is that of Keras, [batch, time, channels]. Layers are applied one after the other as the paper draws them
(Fig. 1 and 3), with no fusing, reordering or splitting. Only the weights carry the names of our state dict.
"""

import math
from dataclasses import dataclass

import numpy as np


@dataclass
class Result:
    """
    logits: [batch, labels]; embedding (global max pooling): [batch, hidden]; hidden_states: stem and blocks, each
    [batch, time, channels]; excitations: one [batch, channels] per squeeze-and-excitation.
    """

    logits: np.ndarray
    embedding: np.ndarray
    hidden_states: list[np.ndarray]
    excitations: list[np.ndarray]


def forward(config, weights: dict[str, np.ndarray], waveform: np.ndarray) -> Result:
    """Run one segment per row of `waveform` [batch, samples] through the network of `config`, as in evaluation."""
    network = Network(config, weights)
    x = network.mel_spectrogram(waveform) if config.front_end == "mel" else network.stem(waveform)
    hidden_states = [x]
    for i in range(config.num_blocks):
        x = network.block(x, i)
        hidden_states.append(x)
    levels = hidden_states[-3:] if config.multi_level else hidden_states[-1:]
    embedding = np.concatenate([level.max(axis=1) for level in levels], axis=-1)
    return Result(network.head(embedding), embedding, hidden_states, network.excitations)


class Network:
    def __init__(self, config, weights):
        self.config, self.weights, self.excitations = config, weights, []

    def stem(self, waveform):
        kernel, stride = self.config.stem_kernel_size, self.config.stem_stride
        pooled = self.config.num_strided_convolutions == 0  # Fig. 5, "0": max-pooling throughout
        x = self.convolution(waveform[..., None], "samplecnn.front_end.conv", kernel, 1 if pooled else stride)
        x = relu(self.batch_norm(x, "samplecnn.front_end.norm"))
        return max_pool(x, stride) if pooled else x

    def mel_spectrogram(self, waveform):
        """log(1 + 10 |A|) of a Hann-windowed spectrum, zero-padded to 1024 points (section V-A)."""
        config = self.config
        window = hann_window(config.stem_kernel_size)
        bank = mel_filter_bank(config.sampling_rate, config.n_fft, config.stem_channels)
        frames = self.frame(waveform[..., None], config.stem_kernel_size, config.stem_stride)[..., 0]
        magnitude = np.abs(np.fft.rfft(frames * window, n=config.n_fft))
        return np.log(1 + config.mel_compression * (magnitude @ bank))

    def block(self, x, i):
        """A block of Fig. 3. Of k strided convolutions (Fig. 5), the stem has the first and k - 1 blocks the rest."""
        name, kind = f"samplecnn.blocks.{i}", self.config.block_type
        stride = 3 if i < self.config.num_strided_convolutions - 1 else 1
        if kind in ("basic", "se"):
            x = relu(self.batch_norm(self.convolution(x, f"{name}.conv", 3, stride), f"{name}.norm"))
            x = x if stride == 3 else max_pool(x, 3)
            return self.squeeze_excitation(x, name) if kind == "se" else x
        body = self.batch_norm(self.convolution(x, f"{name}.body.0", 3, stride), f"{name}.body.1")
        if kind.endswith("2"):  # dropout lies between the two: none in evaluation
            body = self.batch_norm(self.convolution(relu(body), f"{name}.body.4", 3), f"{name}.body.5")
        if kind.startswith("rese"):
            body = self.squeeze_excitation(body, name)
        if body.shape[-1] != x.shape[-1] or stride == 3:  # the paper strides basic blocks only
            x = x[:, : stride * body.shape[1] : stride]
            x = self.batch_norm(self.convolution(x, f"{name}.shortcut.0", 1), f"{name}.shortcut.1")
        return relu(x + body) if stride == 3 else max_pool(relu(x + body), 3)

    def squeeze_excitation(self, x, name):
        squeezed = relu(self.dense(x.mean(axis=1), f"{name}.se.squeeze"))
        excitation = sigmoid(self.dense(squeezed, f"{name}.se.excite"))
        self.excitations.append(excitation)
        return x * excitation[:, None, :]

    def head(self, embedding):
        hidden = relu(self.batch_norm(self.dense(embedding, "classifier.dense"), "classifier.norm"))
        return self.dense(hidden, "classifier.out_proj")

    def convolution(self, x, name, kernel, stride=1):
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]  # [out, in, kernel], [out]
        return np.tensordot(self.frame(x, kernel, stride), weight, axes=[(2, 3), (2, 1)]) + bias

    def dense(self, x, name):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def batch_norm(self, x, name):
        mean, variance, gamma, beta = (
            self.weights[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return gamma * (x - mean) / np.sqrt(variance + self.config.batch_norm_eps) + beta

    def frame(self, x, kernel, stride):
        """
        Zero-padded windows of x [batch, time, channels]: [batch, frames, kernel, channels].

        They are centered on the strides, and what does not fill a stride is dropped; or, with partial_frames="pad",
        they lie as TensorFlow defines "same" padding.
        """
        time = x.shape[1]
        count, before = time // stride, (kernel - stride) // 2
        if self.config.partial_frames == "pad":
            count = math.ceil(time / stride)
            before = max(0, (count - 1) * stride + kernel - time) // 2
        positions = np.arange(count)[:, None] * stride - before + np.arange(kernel)
        inside = (positions >= 0) & (positions < time)
        return x[:, positions.clip(0, time - 1)] * inside[..., None]


def clip_probabilities(segment_logits, mask, multi_label: bool):
    """Mean over the real segments (mask [batch, segments]) of the probabilities of [batch, segments, labels]."""
    if multi_label:
        probabilities = sigmoid(segment_logits)
    else:
        exponentials = np.exp(segment_logits - segment_logits.max(axis=-1, keepdims=True))
        probabilities = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return mean_of_real(probabilities, mask)


def mean_of_real(x, mask):
    """Mean over the real segments of x [batch, segments, features]."""
    return np.stack([rows[real.astype(bool)].mean(axis=0) for rows, real in zip(x, mask, strict=True)])


def hann_window(size: int) -> np.ndarray:
    """Periodic Hann window, as for all spectra."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)


def mel_filter_bank(sampling_rate: int, n_fft: int, num_bins: int) -> np.ndarray:
    """Triangles of equal area, equally spaced on Slaney's mel scale from 0 Hz up: [n_fft / 2 + 1, num_bins]."""
    frequencies = np.arange(n_fft // 2 + 1) * sampling_rate / n_fft
    corners = [slaney_to_hertz(mel) for mel in np.linspace(0, hertz_to_slaney(sampling_rate / 2), num_bins + 2)]
    bank = np.zeros((len(frequencies), num_bins))
    for i, (low, center, high) in enumerate(zip(corners, corners[1:], corners[2:], strict=False)):
        rising, falling = (frequencies - low) / (center - low), (high - frequencies) / (high - center)
        bank[:, i] = np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)
    return bank


def hertz_to_slaney(hertz: float) -> float:
    """Linear up to 1 kHz (15 mel), then logarithmic: 27 mel per factor of 6.4."""
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * np.log(hertz / 1000) / np.log(6.4)


def slaney_to_hertz(mel: float) -> float:
    return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)


def max_pool(x, size):
    """Whole windows only, as in Keras; frames that do not fill one are dropped."""
    batch, time, channels = x.shape
    return x[:, : time // size * size].reshape(batch, time // size, size, channels).max(axis=2)


def relu(x):
    return np.maximum(x, 0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))
