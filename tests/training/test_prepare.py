import json

import pytest

from training import prepare
from training.data import load_source, prepared


def test_a_data_set_is_prepared_where_training_looks_for_it(tones, tmp_path, capsys, monkeypatch):
    cache = f"--cache_dir={tmp_path / 'cache'}"
    prepare.main(["folder", f"--data_dir={tones}", cache])
    summary = json.loads(capsys.readouterr().out)
    assert summary["clips"] == {"train": 36, "validation": 12, "test": 12}
    assert summary["seconds"]["train"] == pytest.approx((6 * 4000 + 30 * 1500) / 22050, abs=0.1)

    monkeypatch.setattr(prepared, "decode", None)  # nothing is decoded again
    clips = prepared.prepare(load_source("folder", tones), 22050, str(tmp_path / "cache"))
    assert len(clips["train"]) == 36


def test_rate_that_is_none(tones):
    with pytest.raises(SystemExit, match="error: --sampling_rate must be between 1000 and 1000000 Hz; got 0"):
        prepare.main(["folder", f"--data_dir={tones}", "--sampling_rate=0"])


@pytest.mark.parametrize("cache_dir", ["a_file", "a_file/cache"])
def test_cache_dir_that_is_no_folder(tones, tmp_path, cache_dir):
    (tmp_path / "a_file").write_text("mine")
    with pytest.raises(SystemExit, match="error: .*a_file"):
        prepare.main(["folder", f"--data_dir={tones}", f"--cache_dir={tmp_path / cache_dir}"])
    assert (tmp_path / "a_file").read_text() == "mine"


def test_full_disk_is_one_line(tones, tmp_path, monkeypatch):
    monkeypatch.setattr("training.data.prepared.pa.OSFile", lambda path, mode: open("/dev/full", mode, buffering=0))
    with pytest.raises(SystemExit, match="error: cannot write .*arrow: .*No space left on device") as error:
        prepare.main(["folder", f"--data_dir={tones}", f"--cache_dir={tmp_path / 'cache'}"])
    assert "\n" not in error.value.code
    assert not list((tmp_path / "cache").rglob("*.arrow*"))


def test_missing_data_are_one_line(tmp_path):
    with pytest.raises(SystemExit, match="error: .*nowhere is not a folder"):
        prepare.main(["folder", f"--data_dir={tmp_path / 'nowhere'}"])
