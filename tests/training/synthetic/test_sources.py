import pytest

from training.errors import DataError
from training.synthetic import sources
from training.synthetic.output import new_folder
from training.synthetic.sources import SYNTHETIC_SOURCES, SyntheticSource, ensure_synthetic_data


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    def write(path):
        with new_folder(path) as folder:
            (folder / "made.txt").touch()

    monkeypatch.setattr(sources, "SYNTHETIC_SOURCES", dict.fromkeys(SYNTHETIC_SOURCES, SyntheticSource(write, 1)))


def test_made_once(tmp_path):
    for _ in range(2):
        ensure_synthetic_data("speech_commands", tmp_path / "data")
    assert {path.name for path in tmp_path.iterdir()} == {".data.lock", "data"}


def test_a_users_folder_is_left_alone(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "recording.wav").write_text("mine")
    with pytest.raises(DataError, match="data was not made by --synthetic"):
        ensure_synthetic_data("speech_commands", tmp_path / "data")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["recording.wav"]


def test_a_users_link_is_left_alone(tmp_path):
    (tmp_path / "data").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match="data already exists"):
        ensure_synthetic_data("speech_commands", tmp_path / "data")
    assert (tmp_path / "data").is_symlink()
