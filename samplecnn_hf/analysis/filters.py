"""
What the filters of a layer listen to: the spectra of the waveforms that excite them most (section VI, Fig. 7).

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

NUM_SAMPLES = 729  # the paper's: close to a usual frame, and a power of 3
NUM_STEPS = 100  # three times as many changed the spectra little
STEP_SIZE = 0.3  # of the waveform's RMS; it falls linearly to 0
QUIET_SPEECH = 0.03  # RMS, 1 for full scale
FILTERS_AT_A_TIME = 32  # as fast on a CPU as more, in less memory


@dataclass(frozen=True)
class FilterEstimates:
    """
    The waveforms that excite the filters of one layer most.

    Attributes:
        layer: 1 for the front end, i + 1 for block i.
        sampling_rate: of the waveforms, in Hz.
        waveforms: float32 [filters, samples].
    """

    layer: int
    sampling_rate: int
    waveforms: np.ndarray

    @property
    def frequencies(self) -> np.ndarray:
        """Of the bins of `spectra`, in Hz [bins]; bins = samples // 2 + 1."""
        return np.fft.rfftfreq(self.waveforms.shape[1], 1 / self.sampling_rate)

    @property
    def spectra(self) -> np.ndarray:
        """Magnitudes in dB relative to the strongest bin of each filter, at least -120 [filters, bins]."""
        magnitudes = np.abs(np.fft.rfft(self.waveforms))
        return 20 * np.log10(np.maximum(magnitudes / magnitudes.max(1, keepdims=True), 1e-6))

    @property
    def peak_frequencies(self) -> np.ndarray:
        """The frequency of the strongest bin of each filter, in Hz [filters]."""
        return self.frequencies[self.spectra.argmax(1)]

    @property
    def order(self) -> np.ndarray:
        """The filters by peak frequency, lowest first, as in Fig. 7: indices [filters]."""
        return self.peak_frequencies.argsort(kind="stable")


def estimate_filters(
    model, layer: int, num_samples: int | None = None, rms: float = QUIET_SPEECH, seed: int = 0
) -> FilterEstimates:
    """
    Find the waveform that excites each filter of a layer most, by gradient ascent from random noise (section VI).

    What is maximised is the mean over time of a filter's activation, after pooling and before ReLU, so that a filter
    that the noise does not excite has a gradient, too. The recipe is of the paper's references: the waveform keeps its
    RMS [57], because without bounds it would leave the range of real audio, and each step is of the same length along
    the normalised gradient. At each step the waveform is shifted in a circle by a random number of the strided
    convolutions' frames [58]: it must excite the filter wherever pooling cuts, and less of the noise survives.

    A strided stem is linear, and so is its mean over time, which only hears what repeats with each stride: the peaks
    of layer 1 are multiples of sampling_rate / stride, 0 and 7,350 Hz for 3 samples ("similar to the 3-point FFT").

    Args:
        model: any SampleCNN, with or without its classifier. It is not changed: a copy of its lowest layers is run.
        layer: from 1, the front end, to num_blocks + 1, the last block.
        num_samples: of the waveforms; the paper's 729, or what gives one frame in a layer that needs more.
        rms: of the waveforms, in units of what the network gets: `input_rms(extractor)`. Quiet speech by default.
        seed: of the noise and the shifts.

    Raises:
        ValueError: there is no such layer, or `num_samples` gives no frame in it.
    """
    body = model.base_model
    config = body.config
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
    """The RMS at which a network hears quiet speech through its feature extractor, which may normalise."""
    return 1.0 if extractor.do_normalize else QUIET_SPEECH / extractor.std


def _hop_length(config, layer: int) -> int:
    """Samples from one frame to the next of the strided convolutions up to a layer."""
    strided = min(layer, config.num_strided_convolutions)
    return config.stem_stride * KERNEL_SIZE ** (strided - 1) if strided else 1


class _LowestLayers(nn.Module):
    """A frozen copy of a network up to a layer."""

    def __init__(self, body: nn.Module, layer: int):
        super().__init__()
        layers = nn.ModuleList([body.front_end, *body.blocks][:layer])
        self.layers = copy.deepcopy(layers).float().eval().requires_grad_(False)
        # Every kind of layer ends with ReLU(pool(...)), but for the mel-spectrogram.
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
    """Waveform i climbs the activation of filter i alone: the gradient of a sum has one row for each."""
    waveforms = _scale(waveforms, rms)
    for i, shift in enumerate(shifts):
        waveforms.requires_grad_(True)
        activations = network(waveforms.roll(shift, 1))
        (gradients,) = torch.autograd.grad(activations[range(len(filters)), filters].sum(), waveforms)
        step_size = STEP_SIZE * rms * (1 - i / len(shifts))
        waveforms = _scale(waveforms.detach() + _scale(gradients, step_size), rms)
    return waveforms


def _scale(waveforms: torch.Tensor, rms: float) -> torch.Tensor:
    """Give each waveform [batch, samples] this root mean square; silence stays silence."""
    return waveforms * (rms / waveforms.square().mean(1, keepdim=True).sqrt().clamp_min(1e-30))


def mel_curve(num_filters: int, sampling_rate: int) -> np.ndarray:
    """The red line of Fig. 7: frequencies from 0 to the Nyquist frequency, equally spaced in mel, in Hz [filters]."""
    highest = hertz_to_mel(sampling_rate / 2, mel_scale="slaney")
    return mel_to_hertz(np.linspace(0, highest, num_filters), mel_scale="slaney")


def log_likeness(peak_frequencies: np.ndarray, sampling_rate: int) -> float:
    """
    How log-like a curve of sorted peak frequencies is: 0 on the straight line from 0 to the Nyquist frequency, 1 on
    the mel curve.

    It is a / (a + b), where a and b are the mean absolute distances in Hz of the sorted curve to the line and to the
    mel curve. Filters that listen lower still than the mel scale are nearer to it than to the line: between 0.5 and 1.
    """
    curve = np.sort(peak_frequencies)
    to_line = np.abs(curve - np.linspace(0, sampling_rate / 2, len(curve))).mean()
    to_mel = np.abs(curve - mel_curve(len(curve), sampling_rate)).mean()
    return float(to_line / (to_line + to_mel))
