import pytest

from benchmarks import training_step


@pytest.fixture
def tiny(monkeypatch, call_directly):
    for name, value in {"VARIANT": "test-se", "BATCH_SIZE": 2, "WARMUP_STEPS": 1, "STEPS": 1, "ROUNDS": 1}.items():
        monkeypatch.setattr(training_step, name, value)
    monkeypatch.setattr(training_step, "prepare_cpu", lambda **settings: None)  # it changes the whole process
    call_directly(training_step)


def test_results(tiny, results):
    training_step.main()
    written = results("training_step")
    for speeds in (written["segments_per_second"], written["ratio_to_plain_float32"]):
        assert list(speeds) == list(training_step.CONFIGURATIONS)
    assert all(speed > 0 for speed in written["segments_per_second"].values())
    assert written["ratio_to_plain_float32"][training_step.BASELINE] == 1
