import sys

import pytest

from benchmarks import preparation

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")


def test_results(results, call_directly, monkeypatch):
    sizes = {"NUM_CLIPS": 2, "ROUNDS": 1, "SECONDS": 1, "MEMORY_CLIPS": (2, 4)}
    for name, value in sizes.items():
        monkeypatch.setattr(preparation, name, value)
    monkeypatch.setattr(preparation.os, "sched_setaffinity", lambda process, cores: None)
    # librosa is no dependency of the repository.
    monkeypatch.setitem(preparation.METHODS, "librosa.load, kaiser_best", preparation.decode_and_resample)
    call_directly(preparation)
    preparation.main()
    written = results("preparation")
    assert list(written["milliseconds_per_clip"]) == list(preparation.METHODS)
    assert list(written["peak_memory_mb_by_clips"]) == ["2", "4"]
