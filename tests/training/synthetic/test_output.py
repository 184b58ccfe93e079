import pytest

from training import synthetic
from training.data.source import SYNTHETIC_MARK
from training.errors import DataError
from training.synthetic.output import new_folder
from training.synthetic.sources import SYNTHETIC_SOURCES, SyntheticSource, ensure_synthetic_data


def write(path):
    with new_folder(path) as partial:
        (partial / "made.txt").touch()
    return path


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch):
    monkeypatch.setattr(
        synthetic, "SYNTHETIC_SOURCES", dict.fromkeys(SYNTHETIC_SOURCES, SyntheticSource(write, num_epochs=1))
    )


def test_folder_appears_when_it_is_complete(tmp_path):
    with new_folder(tmp_path / "data") as partial:
        assert not (tmp_path / "data").exists()
        (partial / "made.txt").touch()
    assert (tmp_path / "data" / SYNTHETIC_MARK).is_file() and (tmp_path / "data" / "made.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_what_a_killed_run_left_is_made_anew(tmp_path):
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "other"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "data.partial").mkdir()
    (tmp_path / "data.partial" / "SYNTHETIC.txt").touch()
    (tmp_path / "data.partial" / "half").touch()
    write(tmp_path / "data")
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"SYNTHETIC.txt", "made.txt"}


@pytest.mark.parametrize("name", ["data", "data.partial"])
@pytest.mark.parametrize("source", SYNTHETIC_SOURCES)
def test_a_users_folder_is_left_alone(tmp_path, name, source):
    (tmp_path / name).mkdir()
    (tmp_path / name / "recording.wav").write_text("mine")
    with pytest.raises(DataError, match=f"{name} (was not made by --synthetic|holds files of another origin)"):
        ensure_synthetic_data(source, tmp_path / "data")
    assert {path.name: path.read_text() for path in tmp_path.rglob("*.wav")} == {"recording.wav": "mine"}
    assert not (tmp_path / name / "SYNTHETIC.txt").exists()


def test_made_once(tmp_path):
    for _ in range(2):
        ensure_synthetic_data("speech_commands", tmp_path / "data")
    assert {path.name for path in tmp_path.iterdir()} == {".data.lock", "data"}


def test_a_users_link_is_left_alone(tmp_path):
    (tmp_path / "data").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match="data already exists"):
        ensure_synthetic_data("speech_commands", tmp_path / "data")
    assert (tmp_path / "data").is_symlink()
