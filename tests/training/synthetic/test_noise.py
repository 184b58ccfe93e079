import numpy as np
import pytest

from training.synthetic.noise import colored_noise


@pytest.mark.parametrize("exponent", [0, 1, 2])
def test_power_falls_with_frequency(exponent):
    noise = colored_noise(np.random.default_rng(0), 2**18, 16_000, exponent, lowest=30)
    assert noise.shape == (2**18,)
    power, frequencies = np.abs(np.fft.rfft(noise)) ** 2, np.fft.rfftfreq(len(noise), 1 / 16_000)

    def mean_power(low, high):
        return power[(frequencies >= low) & (frequencies < high)].mean()

    assert mean_power(0, 30) < 1e-12 * power.max()
    ratio = mean_power(980, 1020) / mean_power(3920, 4080)
    assert ratio == pytest.approx(4.0**exponent, rel=0.2)
