"""Colored noise, the background of synthetic recordings."""

import numpy as np


def colored_noise(
    rng: np.random.Generator, num_samples: int, sampling_rate: int, exponent: float, lowest: float
) -> np.ndarray:
    """Gaussian noise, float64 (num_samples,), with a power spectrum of 1 / frequency**exponent above `lowest` Hz."""
    frequencies = np.fft.rfftfreq(num_samples, 1 / sampling_rate)
    color = np.where(frequencies >= lowest, np.maximum(frequencies, lowest) ** (-exponent / 2), 0)
    return np.fft.irfft(color * np.fft.rfft(rng.standard_normal(num_samples)), num_samples)
