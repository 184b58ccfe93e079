import sys

import pytest

from benchmarks import timeline


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
def test_results(results, call_directly, monkeypatch):
    call_directly(timeline)
    small = {"VARIANTS": ("test-basic",), "SECONDS": 1, "ROUNDS": 1, "MEMORY_SECONDS": 1}
    for name, value in {**small, "STREAM_VARIANT": "basic-8-strided8", "STREAM_ROWS": 2}.items():
        monkeypatch.setattr(timeline, name, value)
    timeline.main()
    written = results("timeline")
    assert list(written["time_relative_to_consecutive"]["test-basic"]) == list(timeline.PASSES)
    assert all(ratio > 0 for ratio in written["time_relative_to_consecutive"]["test-basic"].values())
    assert written["memory_mb"]["test-basic"] >= 0
    assert written["stream"]["milliseconds_per_row"] > 0
