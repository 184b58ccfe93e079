import numpy as np

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


def test_results(results, pretrained, write_tone, tmp_path):
    for split in ("train", "validation"):
        for label in LABELS:
            (tmp_path / "data" / split / label).mkdir(parents=True)
            write_tone(f"data/{split}/{label}/0.wav", seconds=0.2)
    robustness.main([str(pretrained), "--data_dir", str(tmp_path / "data")])
    written = results("robustness")
    assert (written["split"], written["clips"]) == ("validation", len(LABELS))
    # All clips are the same tone, so a network is right about exactly one of them.
    assert written["accuracy"] == {pretrained.name: dict.fromkeys(robustness.CHANGES, round(1 / len(LABELS), 4))}
