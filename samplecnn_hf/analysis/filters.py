"""
Visualize the filters of a layer by activation maximization (section VI, Fig. 7): spectra of optimized waveforms.

    layers = [estimate_filters(model, layer) for layer in range(1, 7)]
    plot_filters(layers)

Layer 1 is the stem (or the mel-spectrogram), layer 2 the first block.
"""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from transformers.audio_utils import hertz_to_mel, mel_to_hertz

from ..configuration_samplecnn import KERNEL_SIZE

NUM_SAMPLES = 729  # as in the paper: close to a common frame size, and a power of 3
NUM_STEPS = 100  # with 300 steps, the spectra are almost the same
STEP_SIZE = 0.3  # relative to the waveform's RMS; decays linearly to 0
QUIET_SPEECH = 0.03  # RMS, 1 for full scale
FILTERS_AT_A_TIME = 32  # larger batches are not faster on a CPU


@dataclass(frozen=True)
class FilterEstimates:
    """
    Waveforms that maximize the activation of the filters of one layer.

    Attributes:
        layer: 1 for the front end, i + 1 for block i (from 1).
        sampling_rate: Sampling rate of the waveforms in Hz.
        waveforms: Waveforms, float32 [filters, samples].
    """

    layer: int
    sampling_rate: int
    waveforms: np.ndarray

    @property
    def frequencies(self) -> np.ndarray:
        """Frequencies of the bins of `spectra` in Hz [bins]; bins = samples // 2 + 1."""
        return np.fft.rfftfreq(self.waveforms.shape[1], 1 / self.sampling_rate)

    @property
    def spectra(self) -> np.ndarray:
        """Magnitudes in dB relative to the peak of each filter, clipped at -120 [filters, bins]."""
        magnitudes = np.abs(np.fft.rfft(self.waveforms))
        return 20 * np.log10(np.maximum(magnitudes / magnitudes.max(1, keepdims=True), 1e-6))

    @property
    def peak_frequencies(self) -> np.ndarray:
        """Peak frequency of each filter in Hz [filters]."""
        return self.frequencies[self.spectra.argmax(1)]

    @property
    def order(self) -> np.ndarray:
        """Indices of the filters sorted by peak frequency, as in Fig. 7 [filters]."""
        return self.peak_frequencies.argsort(kind="stable")


def estimate_filters(
    model, layer: int, num_samples: int | None = None, rms: float = QUIET_SPEECH, seed: int = 0
) -> FilterEstimates:
    """
    Find the waveform that maximizes each filter of a layer, by gradient ascent from random noise (section VI).

    The objective is the mean over time of a filter's activation, after pooling and before ReLU, so that inactive
    filters have a gradient, too. The method follows the paper's references: the RMS of the waveform is constant [57],
    which keeps it in the range of real audio; steps have a constant length along the normalized gradient; at each
    step the waveform is rolled by a random number of frames of the strided convolutions [58], so that the result does
    not depend on the position of the pooling windows and is less noisy.

    A strided stem is linear, and so is its mean over time, which only responds to what repeats with the stride: the
    peaks of layer 1 are multiples of sampling_rate / stride, 0 and 7,350 Hz for 3 samples ("similar to the 3-point
    FFT").

    Args:
        model: Any SampleCNN, with or without its classifier. It is not changed.
        layer: 1 for the front end, up to num_blocks + 1 for the last block.
        num_samples: Length of the waveforms; by default 729, as in the paper, or one frame in a layer that needs more.
        rms: RMS of the waveforms as the network gets them, see `input_rms`; by default that of quiet speech.
        seed: Seed of the noise and the shifts.

    Raises:
        ValueError: There is no such layer, `num_samples` is shorter than one of its frames, or the model is optimized
            for inference.
    """
    body = model.base_model
    config = body.config
    if body.is_optimized:
        raise ValueError("the model is optimized for inference: load it again to estimate its filters")
    if not 1 <= layer <= config.num_blocks + 1:
        raise ValueError(f"layer must be between 1 and {config.num_blocks + 1}; got {layer}")
    shortest = config.stem_stride * KERNEL_SIZE ** (layer - 1)
    if num_samples is None:
        num_samples = max(NUM_SAMPLES, shortest)
    if num_samples < shortest:
        raise ValueError(f"layer {layer} needs num_samples of at least {shortest}; got {num_samples}")

    num_filters = [config.stem_channels, *config.block_channels][layer - 1]
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(num_filters, num_samples, generator=generator)
    hop = _hop_length(config, layer)
    shifts = hop * torch.randint(num_samples // hop, (NUM_STEPS,), generator=generator)
    with torch.inference_mode(False), torch.enable_grad():
        network = _LowestLayers(body, layer)
        waveforms = [
            _ascend(network, filters, noise[filters].to(body.device), rms, shifts.tolist())
            for filters in torch.arange(num_filters).split(FILTERS_AT_A_TIME)
        ]
    return FilterEstimates(layer, config.sampling_rate, torch.cat(waveforms).cpu().numpy())


def input_rms(extractor) -> float:
    """RMS of quiet speech at the input of the network, after the normalization of its feature extractor."""
    return 1.0 if extractor.do_normalize else QUIET_SPEECH / extractor.std


def _hop_length(config, layer: int) -> int:
    """Samples per frame of the strided convolutions up to a layer."""
    strided = min(layer, config.num_strided_convolutions)
    return config.stem_stride * KERNEL_SIZE ** (strided - 1) if strided else 1


class _LowestLayers(nn.Module):
    """A frozen copy of a network up to a layer."""

    def __init__(self, body: nn.Module, layer: int):
        super().__init__()
        layers = nn.ModuleList([body.front_end, *body.blocks][:layer])
        self.layers = copy.deepcopy(layers).float().eval().requires_grad_(False)
        # All layers end with ReLU(pool(...)), except the mel-spectrogram.
        last = self.layers[-1]
        getattr(last, "pool", last).register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: tuple, output: torch.Tensor):
        self.activations = output

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        """[batch, samples] -> activations of the last layer, averaged over time [batch, filters]."""
        hidden_states = self.layers[0](waveforms)
        for block in self.layers[1:]:
            hidden_states, _ = block(hidden_states)
        return self.activations.mean((2, 3))


def _ascend(
    network: _LowestLayers, filters: torch.Tensor, waveforms: torch.Tensor, rms: float, shifts: list[int]
) -> torch.Tensor:
    """Gradient ascent of waveform i on the activation of filter i."""
    waveforms = _scale(waveforms, rms)
    for i, shift in enumerate(shifts):
        waveforms.requires_grad_(True)
        activations = network(waveforms.roll(shift, 1))
        (gradients,) = torch.autograd.grad(activations[range(len(filters)), filters].sum(), waveforms)
        step_size = STEP_SIZE * rms * (1 - i / len(shifts))
        waveforms = _scale(waveforms.detach() + _scale(gradients, step_size), rms)
    return waveforms


def _scale(waveforms: torch.Tensor, rms: float) -> torch.Tensor:
    """Scale each waveform [batch, samples] to this RMS; silence is unchanged."""
    return waveforms * (rms / waveforms.square().mean(1, keepdim=True).sqrt().clamp_min(1e-30))


def mel_curve(num_filters: int, sampling_rate: int) -> np.ndarray:
    """Frequencies from 0 to the Nyquist frequency, equally spaced in mel, in Hz [filters]; the red line of Fig. 7."""
    highest = hertz_to_mel(sampling_rate / 2, mel_scale="slaney")
    return mel_to_hertz(np.linspace(0, highest, num_filters), mel_scale="slaney")


def log_likeness(peak_frequencies: np.ndarray, sampling_rate: int) -> float:
    """
    Measure how log-like a curve of sorted peak frequencies (in Hz) is: 0 on the straight line from 0 to the Nyquist
    frequency, 1 on the mel curve.

    The measure is a / (a + b), where a and b are the mean absolute distances in Hz of the sorted curve to the line and
    to the mel curve. Curves below the mel curve give values between 0.5 and 1.
    """
    curve = np.sort(peak_frequencies)
    to_line = np.abs(curve - np.linspace(0, sampling_rate / 2, len(curve))).mean()
    to_mel = np.abs(curve - mel_curve(len(curve), sampling_rate)).mean()
    return float(to_line / (to_line + to_mel))
