"""Fig. 10: channel magnitude and excitation over loudness, and the paper's finding in a small network."""

from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file

from samplecnn_hf import SampleCNNFeatureExtractor, SampleCNNForAudioClassification, create_config
from samplecnn_hf.analysis import ClipExcitations, ExcitationRecorder
from training.errors import DataError
from training.experiments.figures.figure_10 import Figure10


def test_loudness(analyze, save_model, tmp_path):
    result = analyze("figure_10", save_model(), "--split=train", "--max_clips=9")
    assert "on 9 of 36 clips of the train split of tones" in result["what"]
    rows = result["tables"]["figure_10"]
    dots = load_file(tmp_path / "experiments" / "results" / "net" / "figure_10.safetensors")
    assert len(rows) == len(dots["magnitudes"]) == create_config("test-se").num_blocks
    for row, magnitudes, excitations in zip(rows, dots["magnitudes"], dots["excitations"], strict=True):
        assert row["segments"] == len(dots["rms"]) >= 9
        for values, r in ((magnitudes, "r of magnitude and RMS"), (excitations, "r of excitation and RMS")):
            if np.ptp(values) == 0:
                assert row[r] is None
            else:
                assert row[r] == pytest.approx(np.corrcoef(values, dots["rms"])[0, 1], abs=1e-3)
    assert (rows[0]["paper: magnitude"], rows[0]["paper: excitation"]) == ("rises strongly", "falls")


def test_a_single_segment():
    clip = ClipExcitations(np.ones(1), (np.ones((1, 4)),), (np.ones((1, 4)),))
    network = SimpleNamespace(excitations=lambda: [(clip, [0])], clips="1 of 9 clips")
    with pytest.raises(DataError, match="1 of 9 clips: a correlation needs at least two segments: give more clips"):
        Figure10().analyze(network)


def test_magnitude_rises_with_loudness_less_so_higher_up(trained_on_loudness):
    task, results = trained_on_loudness
    folder = results["plain"].runs[0]["recipe"]["output_dir"]
    model = SampleCNNForAudioClassification.from_pretrained(folder)
    record = ExcitationRecorder(model, SampleCNNFeatureExtractor.from_pretrained(folder))
    clips = [(record(clip.path, None), clip.labels) for clip in task.source.splits["test"]]
    rows, _ = Figure10().analyze(SimpleNamespace(excitations=lambda: clips, name="plain"))
    first, *_, last = (row["r of magnitude and RMS"] for row in rows)
    assert first > 0.7 and last < first - 0.1
