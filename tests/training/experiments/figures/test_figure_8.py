"""Fig. 8: deviation of the excitations over the classes."""

import numpy as np
import pytest


def test_deviations_of_several_networks(analyze, save_model, excitations_of_tones, tmp_path):
    models = [save_model("speech"), save_model("music", "test-rese2")]
    result = analyze("figure_8", *models)
    rows = result["tables"]["figure_8"]
    assert result["what"].count("on 12 clips of the test split of tones") == 2
    for name, model in zip(("speech", "music"), models, strict=True):
        clips = excitations_of_tones(model)
        for row in (row for row in rows if row["model"] == name):
            means = [
                np.mean([clip.excitations[row["block"] - 1].mean(0) for clip, of in clips if of == label], axis=0)
                for label in range(3)
            ]
            expected = np.std(means, axis=0).mean()
            assert row["standard deviation"] == pytest.approx(expected, rel=0.01, abs=1e-6)
    assert rows[0]["paper"] == "high for music alone"
    picture = (tmp_path / "experiments" / "results" / "speech+music" / "figure_8.svg").read_text()
    assert "speech" in picture and "music" in picture
