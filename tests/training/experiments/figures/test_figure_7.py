"""Fig. 7: filters of trained networks."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from samplecnn_hf import SampleCNNForAudioClassification
from samplecnn_hf.analysis import estimate_filters, filters


def test_filters_of_two_networks(analyze, save_model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(filters, "NUM_STEPS", 20)
    first, second = save_model("a", "test-basic"), save_model("b", "test-se")
    result = analyze("figure_7", first, second, "--layers=1-2", "--seed=3")
    rows = result["tables"]["figure_7"]
    assert [(row["model"], row["layer"]) for row in rows] == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
    expected = estimate_filters(SampleCNNForAudioClassification.from_pretrained(second), 2, seed=3)
    quartiles = [value for name, value in rows[3].items() if name.startswith("peak")]
    assert quartiles == pytest.approx(np.percentile(expected.peak_frequencies, (25, 50, 75)), abs=0.5)
    assert rows[3]["filters"] == len(expected.waveforms) and 0 <= rows[3]["log-likeness"] <= 1
    written = tmp_path / "experiments" / "results" / "a+b"
    waveforms = load_file(written / "figure_7.safetensors")["b/2"]
    np.testing.assert_allclose(waveforms, expected.waveforms, rtol=1e-3, atol=1e-6)
    picture = (written / "figure_7.svg").read_text()
    assert all(picture.count(f">{text}<") == 2 for text in ("a", "b", "layer 1", "layer 2"))
    assert (written / "figure_7.png").read_bytes().startswith(b"\x89PNG")
    assert (written / "figure_7.csv").read_text().splitlines()[0].endswith(",paper,data,what,quick,date,command")
    assert "network a (trained on synthetic clips); network b (trained on synthetic clips)." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("2-9", "net has 6 layers; --layers asks for layer 9"),
        ("2-1", "--layers must be a range of layers, such as 1-3; got '2-1'"),
        ("0", "--layers must be a range of layers, such as 1-3; got '0'"),
    ],
)
def test_wrong_layers(layers, message, save_model, refused):
    refused("figure_7", save_model(), f"--layers={layers}", message=message)
