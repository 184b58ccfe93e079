import os

os.environ["KERAS_BACKEND"] = "torch"  # read when Keras is imported

import pytest  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402


@pytest.fixture
def save_state(tmp_path):
    """save_state(state, suffix): the file of a state dict in tmp_path."""

    def save(state, suffix=".pth"):
        path = tmp_path / f"weights{suffix}"
        save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
        return path

    return save
