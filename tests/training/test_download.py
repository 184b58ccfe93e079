import pytest

from training import download


def test_data_that_cannot_be_downloaded(tmp_path):
    with pytest.raises(SystemExit, match="^error: .*sources/million_song.py describes where to put them"):
        download.main(["million_song", "--data_dir", str(tmp_path / "data" / "set")])
    assert not list(tmp_path.iterdir())


def test_help_lists_every_dataset(capsys):
    with pytest.raises(SystemExit, match="0"):
        download.main(["--help"])
    shown = capsys.readouterr().out
    assert all(f"    {name} " in shown for name in download.DOWNLOADS)
