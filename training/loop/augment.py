"""Augmentation of batches of training segments, on their device."""

import math

import torch
import torch.nn.functional as F

from training.recipe import Recipe

SNR_RANGE = (5.0, 40.0)  # dB
NOISE_SLOPES = (0.0, 2.0)  # exponent of 1 / frequency in the power spectrum: white to brown
SPECTRUM_WINDOW = 0.032  # s
ENVELOPE_WIDTH = 400.0  # Hz, of the moving average over frequency: wider than the pitch of a voice
MAX_FORMANT_GAIN = 10.0
EQUALIZER_POINTS = 8  # at which gain and phase are random, equally spaced in log frequency
EQUALIZER_CORNER = 50.0  # Hz, below which the spacing is linear
REVERBERATION_TIMES = (0.1, 0.8)  # s, to -60 dB
REVERBERANT_TO_DIRECT = (-20.0, 0.0)  # dB


class Augment:
    """
    Random time shift, speed, tempo, formants, reverberation, filtering, level, noise, masking and mixup, each enabled
    by its recipe field.

    Args:
        recipe: its fields of augmentation, `mixup` to `time_mask`.
        sampling_rate: of the segments, in Hz.
        background: noise recordings, float32 (samples,), longer than a segment, on the device of the batches. None:
            colored noise.
    """

    def __init__(self, recipe: Recipe, sampling_rate: int, background: torch.Tensor | None = None):
        self.recipe, self.sampling_rate, self.background = recipe, sampling_rate, background
        self.max_shift = recipe.time_shift * sampling_rate

    def __call__(self, input_values: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`input_values` [batch, 1, samples] and `labels` [batch, num_labels] -> new tensors of the same shapes."""
        x = input_values.squeeze(1)
        if self.max_shift or self.recipe.speed:
            x = self.warp(x)
        if self.recipe.tempo:
            x = self.stretch(x)
        if self.recipe.formants:
            x = self.shift_formants(x)
        if self.recipe.reverberation:
            x = self.reverberate(x)
        if self.recipe.equalizer or self.recipe.phase:
            x = self.filter(x)
        if self.recipe.gain:
            x = x * 10 ** (uniform(x, -self.recipe.gain, self.recipe.gain) / 20)
        if self.recipe.noise:
            x = self.add_noise(x)
        if self.recipe.time_mask:
            x = self.mask(x)
        if self.recipe.mixup:
            x, labels = self.mix_up(x, labels)
        return x.unsqueeze(1), labels

    def warp(self, x: torch.Tensor) -> torch.Tensor:
        """Resample each segment at a random speed and shift, with linear interpolation and zero padding."""
        speed = 1 + uniform(x, -self.recipe.speed, self.recipe.speed)
        shift = uniform(x, -self.max_shift, self.max_shift)
        center = (x.shape[1] - 1) / 2
        position = (torch.arange(x.shape[1], device=x.device) - center) * speed + center + shift
        left = position.floor()
        fraction = position - left
        padded = F.pad(x, (1, 2))  # zeros for positions outside

        def read(index):
            return padded.gather(1, index.clamp(-1, x.shape[1]).long() + 1)

        return torch.lerp(read(left), read(left + 1), fraction)

    def stretch(self, x: torch.Tensor) -> torch.Tensor:
        """Change the tempo of each segment at constant pitch, as of faster or slower speech, with a phase vocoder."""
        options = self.stft_options(x, overlap=4)
        spectrum = torch.stft(x, **options, return_complex=True)
        num_frames, factor = spectrum.shape[2], math.log1p(self.recipe.tempo)
        center, frames = num_frames // 2, torch.arange(num_frames, device=x.device)
        position = (frames - center) * uniform(x, -factor, factor).exp() + center
        left = position.floor()

        def read(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
            """Values [batch, bins, frames] at an index [batch, frames], zero outside."""
            index = (index.clamp(-1, num_frames).long() + 1)[:, None]
            return F.pad(values, (1, 2)).gather(2, index.expand(-1, values.shape[1], -1))

        magnitude, phase = spectrum.abs(), spectrum.angle()
        magnitude = torch.lerp(read(magnitude, left), read(magnitude, left + 1), (position - left)[:, None])
        # From one frame to the next, the phase advances as in the original there; the center keeps its phase.
        advance = F.pad(read(phase.diff(dim=2), left).cumsum(2), (1, -1))
        phase = advance + (phase - advance)[:, :, center, None]
        return torch.istft(torch.polar(magnitude, phase), **options, length=x.shape[1])

    def shift_formants(self, x: torch.Tensor) -> torch.Tensor:
        """Scale the frequencies of the spectral envelope of each segment, like a vocal tract of another length."""
        options = self.stft_options(x, overlap=2)
        size, spectrum = options["n_fft"], torch.stft(x, **options, return_complex=True)
        power = spectrum.abs().square().transpose(1, 2)
        width = 2 * round(ENVELOPE_WIDTH * size / self.sampling_rate / 2) + 1
        envelope = F.avg_pool1d(power, width, stride=1, padding=width // 2, count_include_pad=False) + 1e-12
        bins = torch.arange(size // 2 + 1, device=x.device)
        position = (bins * (1 + uniform(x, -self.recipe.formants, self.recipe.formants))).clamp(max=size // 2)
        left = position.long().clamp(max=size // 2 - 1)
        index, fraction = left[:, None].expand_as(envelope), (position - left)[:, None]
        moved = torch.lerp(envelope.gather(2, index), envelope.gather(2, index + 1), fraction)
        gain = (moved / envelope).sqrt().clamp(max=MAX_FORMANT_GAIN)
        return torch.istft(spectrum * gain.transpose(1, 2), **options, length=x.shape[1])

    def stft_options(self, x: torch.Tensor, overlap: int) -> dict:
        size = 4 * round(SPECTRUM_WINDOW * self.sampling_rate / 4)
        return {"n_fft": size, "hop_length": size // overlap, "window": torch.hann_window(size, device=x.device)}

    def reverberate(self, x: torch.Tensor) -> torch.Tensor:
        """Add the reverberation of a random room, exponentially decaying white noise, to some of the segments."""
        time = torch.arange(round(REVERBERATION_TIMES[1] * self.sampling_rate), device=x.device) / self.sampling_rate
        tail = torch.randn(len(x), len(time), device=x.device)
        tail = tail * torch.exp(-math.log(1000) * time / uniform(x, *REVERBERATION_TIMES))
        size = fast_fft_size(x.shape[1] + tail.shape[1])
        wet = torch.fft.irfft(torch.fft.rfft(x, size) * torch.fft.rfft(tail, size), size)[:, : x.shape[1]]
        level = rms(x) * 10 ** (uniform(x, *REVERBERANT_TO_DIRECT) / 20) / rms(wet).clamp(min=1e-8)
        return x + wet * level * self.chosen(x, self.recipe.reverberation)

    def filter(self, x: torch.Tensor) -> torch.Tensor:
        """Filter each segment with a random smooth frequency and phase response, as of another microphone or voice."""
        spectrum = torch.fft.rfft(x)
        response = 10 ** (self.smooth_curve(spectrum, self.recipe.equalizer) / 20)
        if self.recipe.phase:
            response = torch.polar(response, self.smooth_curve(spectrum, self.recipe.phase * math.pi))
        return torch.fft.irfft(spectrum * response, x.shape[1])

    def smooth_curve(self, spectrum: torch.Tensor, limit: float) -> torch.Tensor:
        """A random function of the frequency within +-`limit` for each spectrum, [batch, bins]."""
        values = uniform(spectrum, -limit, limit, EQUALIZER_POINTS)
        frequency = torch.linspace(0, self.sampling_rate / 2, spectrum.shape[1], device=spectrum.device)
        position = torch.log1p(frequency / EQUALIZER_CORNER)
        position = position / position[-1] * (EQUALIZER_POINTS - 1)
        left = position.long().clamp(max=EQUALIZER_POINTS - 2)
        return torch.lerp(values[:, left], values[:, left + 1], position - left)

    def mask(self, x: torch.Tensor) -> torch.Tensor:
        """Silence up to the fraction `time_mask` of each segment, at a random place."""
        length = uniform(x, 0, self.recipe.time_mask) * x.shape[1]
        start = uniform(x, 0, 1) * (x.shape[1] - length)
        time = torch.arange(x.shape[1], device=x.device)
        return x.masked_fill((time >= start) & (time < start + length), 0.0)

    def add_noise(self, x: torch.Tensor) -> torch.Tensor:
        if self.background is not None:
            starts = torch.randint(len(self.background) - x.shape[1], (len(x), 1), device=x.device)
            noise = self.background[starts + torch.arange(x.shape[1], device=x.device)]
        else:
            noise = self.colored_noise(x)
        level = rms(x) * 10 ** (-uniform(x, *SNR_RANGE) / 20) / rms(noise).clamp(min=1e-8)
        return x + noise * level * self.chosen(x, self.recipe.noise)

    def colored_noise(self, x: torch.Tensor) -> torch.Tensor:
        """Gaussian noise whose power falls with a random power of the frequency."""
        spectrum = torch.fft.rfft(torch.randn_like(x))
        frequency = torch.arange(spectrum.shape[1], device=x.device).clamp(min=1)
        return torch.fft.irfft(spectrum * frequency ** (-uniform(x, *NOISE_SLOPES) / 2), x.shape[1])

    @staticmethod
    def chosen(x: torch.Tensor, probability: float) -> torch.Tensor:
        """Whether each segment is augmented, [batch, 1]."""
        return torch.rand(len(x), 1, device=x.device) < probability

    def mix_up(self, x: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Mix each segment with another one so that their levels have the random ratio of the labels.

        This is between-class learning (Tokozume, Ushiku and Harada, ICLR 2018) with the RMS as the level. Without the
        correction, a quiet segment next to a loud one would be labeled but not heard.
        """
        alpha = torch.full((len(x), 1), self.recipe.mixup)
        ratio = torch.distributions.Beta(alpha, alpha).sample().to(x.device)
        other, level = x.roll(1, 0), rms(x).clamp(min=1e-8)  # the batch is in random order
        first, second = ratio * level.roll(1, 0), (1 - ratio) * level
        mixed = (first * x + second * other) / torch.hypot(first, second)
        return mixed, torch.lerp(labels.roll(1, 0), labels, ratio)


def uniform(like: torch.Tensor, low: float, high: float, count: int = 1) -> torch.Tensor:
    """Random numbers for each segment, [batch, count]."""
    return torch.empty(len(like), count, device=like.device).uniform_(low, high)


def fast_fft_size(length: int) -> int:
    """The smallest power of two, or 3/4 or 5/8 of one, that is not below `length`."""
    power = 1 << (length - 1).bit_length()
    return next(size for size in (power * 5 // 8, power * 3 // 4, power) if size >= length)


def rms(x: torch.Tensor) -> torch.Tensor:
    return x.square().mean(1, keepdim=True).sqrt()
