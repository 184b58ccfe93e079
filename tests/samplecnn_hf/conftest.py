"""A pipeline and what it should answer."""

import numpy as np
import pytest
import torch

from samplecnn_hf import SampleCNNAudioClassificationPipeline


@pytest.fixture
def pipe(tiny_model, tiny_extractor):
    return SampleCNNAudioClassificationPipeline(model=tiny_model, feature_extractor=tiny_extractor, top_k=None)


@pytest.fixture
def tone(make_tone):
    return make_tone()


@pytest.fixture
def expected(tiny_model, tone):
    """What the model says about the tone, computed by hand: three whole segments and a padded one."""
    segments = np.zeros(4 * 1458, dtype=np.float32)
    segments[: len(tone)] = tone
    with torch.no_grad():
        logits = tiny_model(torch.from_numpy(segments.reshape(1, 4, 1458))).logits
    return [
        {"label": tiny_model.config.id2label[i], "score": score}
        for i, score in enumerate(logits.softmax(-1)[0].tolist())
    ]


@pytest.fixture(scope="session")
def assert_same():
    """assert_same(answer, expected, tolerance=1e-5)"""

    def by_label(answer):
        return {item["label"]: item["score"] for item in answer}

    def check(answer, expected, tolerance=1e-5):
        assert by_label(answer) == pytest.approx(by_label(expected), abs=tolerance)

    return check
