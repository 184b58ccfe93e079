import pytest

from benchmarks import training_step


@pytest.fixture
def tiny(monkeypatch, call_directly):
    for name, value in {"VARIANTS": ("test-se",), "BATCH_SIZE": 2, "WARMUP_STEPS": 1, "STEPS": 1, "ROUNDS": 1}.items():
        monkeypatch.setattr(training_step, name, value)
    monkeypatch.setattr(training_step, "prepare_cpu", lambda **settings: None)  # it changes the whole process
    call_directly(training_step)


def test_results(tiny, results):
    training_step.main()
    written = results("training_step")
    (network,) = written["networks"].values()
    for speeds in network.values():
        assert list(speeds) == list(training_step.CONFIGURATIONS)
    assert all(speed > 0 for speed in network["segments_per_second"].values())
    assert network["ratio_to_plain_float32"][training_step.BASELINE] == 1
    assert written["convolution_limit"]["segments_per_second"] > 0
    assert 0 < written["augmentation"]["share_of_step"] < 1
