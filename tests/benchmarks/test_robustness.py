import numpy as np
import pytest

from benchmarks import robustness
from tests.conftest import LABELS


def test_changes():
    rate, time = 16000, np.arange(16000) / 16000
    tones = {frequency: np.sin(2 * np.pi * frequency * time) for frequency in (100, 1000, 6000)}
    changed = {
        name: {frequency: change(tone, rate)[8000:] for frequency, tone in tones.items()}
        for name, change in robustness.CHANGES.items()
    }
    assert np.array_equal(changed["inverted polarity"][1000], -changed["as recorded"][1000])
    kept = {
        name: [frequency for frequency, tone in found.items() if tone.std() > 0.5] for name, found in changed.items()
    }
    assert kept["only above 300 Hz"] == [1000, 6000] and kept["only below 3.4 kHz"] == [100, 1000]


def test_other_labels(pretrained, write_data):
    with pytest.raises(SystemExit, match="^error: the labels of .* are not those of the data$"):
        robustness.main([str(pretrained), "--data_dir", write_data(["high", "low"])])


def test_results(results, pretrained, write_data):
    robustness.main([str(pretrained), "--data_dir", write_data(LABELS)])
    written = results("robustness")
    assert (written["split"], written["clips"]) == ("validation", len(LABELS))
    # All clips are the same tone, so a network is right about exactly one of them.
    assert written["accuracy"] == {pretrained.name: dict.fromkeys(robustness.CHANGES, round(1 / len(LABELS), 4))}
