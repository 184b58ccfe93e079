"""Augmentation of batches of training segments, on their device."""

import torch
import torch.nn.functional as F

from training.recipe import Recipe

SNR_RANGE = (5.0, 40.0)  # dB


class Augment:
    """
    Random time shift, speed, level, noise and mixup, each enabled by its recipe field.

    Args:
        recipe: its fields `time_shift`, `speed`, `gain`, `noise` and `mixup`.
        sampling_rate: of the segments, in Hz.
        background: noise recordings, float32 (samples,), on the device of the batches. None: white noise.
    """

    def __init__(self, recipe: Recipe, sampling_rate: int, background: torch.Tensor | None = None):
        self.recipe, self.background = recipe, background
        self.max_shift = recipe.time_shift * sampling_rate

    def __call__(self, input_values: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`input_values` [batch, 1, samples] and `labels` [batch, num_labels] -> new tensors of the same shapes."""
        x = input_values.squeeze(1)
        if self.max_shift or self.recipe.speed:
            x = self.warp(x)
        if self.recipe.gain:
            x = x * 10 ** (uniform(x, -self.recipe.gain, self.recipe.gain) / 20)
        if self.recipe.noise:
            x = self.add_noise(x)
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

    def add_noise(self, x: torch.Tensor) -> torch.Tensor:
        if self.background is not None and len(self.background) > x.shape[1]:
            starts = torch.randint(len(self.background) - x.shape[1], (len(x), 1), device=x.device)
            noise = self.background[starts + torch.arange(x.shape[1], device=x.device)]
        else:
            noise = torch.randn_like(x)
        level = rms(x) * 10 ** (-uniform(x, *SNR_RANGE) / 20) / rms(noise).clamp(min=1e-8)
        chosen = torch.rand(len(x), 1, device=x.device) < self.recipe.noise
        return x + noise * level * chosen

    def mix_up(self, x: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        alpha = torch.full((len(x), 1), self.recipe.mixup)
        weight = torch.distributions.Beta(alpha, alpha).sample().to(x.device)
        other = torch.randperm(len(x), device=x.device)
        return torch.lerp(x[other], x, weight), torch.lerp(labels[other], labels, weight)


def uniform(like: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """One random number per segment, [batch, 1]."""
    return torch.empty(len(like), 1, device=like.device).uniform_(low, high)


def rms(x: torch.Tensor) -> torch.Tensor:
    return x.square().mean(1, keepdim=True).sqrt()
