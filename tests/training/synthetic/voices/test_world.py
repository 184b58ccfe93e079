import sys

import numpy as np
import pytest

from training.errors import DataError
from training.synthetic.voices import SAMPLE_RATE
from training.synthetic.voices.world import Speaker, analyze, blend, change, draw_speaker, synthesize

SAME = Speaker(formants=1, upper_formants=1, pitch=1, intonation=1, aperiodicity=1, speed=1)


def vowel(pitch: float, formant: float, seconds: float = 0.5) -> np.ndarray:
    """Harmonics of `pitch` with one resonance."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    frequencies = np.arange(pitch, SAMPLE_RATE / 2, pitch)
    levels = 1 / (1 + ((frequencies - formant) / 150) ** 2)
    return 0.05 * (levels[:, None] * np.sin(2 * np.pi * frequencies[:, None] * time)).sum(0)


def formant_of(spoken) -> float:
    return spoken.envelope.mean(0).argmax() * SAMPLE_RATE / 2 / (spoken.envelope.shape[1] - 1)


def pitch_of(spoken) -> float:
    return np.median(spoken.pitch[spoken.pitch > 0])


@pytest.fixture(scope="module", autouse=True)
def pyworld():
    return pytest.importorskip("pyworld")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def spoken():
    return analyze(vowel(150, 1000))


def test_a_voice_is_analyzed_and_heard_again(spoken):
    assert pitch_of(spoken) == pytest.approx(150, rel=0.01)
    samples = synthesize(spoken)
    assert samples.dtype == np.float32
    assert len(samples) / SAMPLE_RATE == pytest.approx(0.5, abs=0.01)
    assert formant_of(analyze(samples)) == pytest.approx(1000, rel=0.1)


def test_formants_move_without_the_pitch(spoken, rng):
    changed = change(spoken, Speaker(1.2, 1, 1, 1, 1, 1), rng)
    assert formant_of(changed) == pytest.approx(1200, rel=0.05)
    assert pitch_of(changed) == pytest.approx(150, rel=0.2)


def test_pitch_moves_without_the_formants(spoken, rng):
    changed = change(spoken, Speaker(1, 1, 1.5, 1, 1, 1), rng)
    assert pitch_of(changed) == pytest.approx(225, rel=0.2)
    assert formant_of(changed) == pytest.approx(1000, rel=0.05)


def test_speed_changes_the_duration(spoken, rng):
    slow, fast = (len(change(spoken, Speaker(1, 1, 1, 1, 1, speed), rng).pitch) for speed in (0.7, 1.4))
    assert slow > 1.3 * fast


def test_each_take_is_different(spoken, rng):
    assert not np.array_equal(
        synthesize(change(spoken, SAME, rng))[:4000], synthesize(change(spoken, SAME, rng))[:4000]
    )


def test_drawn_speakers_give_finite_sound(spoken, rng):
    for _ in range(20):
        samples = synthesize(change(spoken, draw_speaker(rng), rng))
        assert np.isfinite(samples).all()
        assert np.abs(samples).max() > 0.01


def test_a_whisper_stays_unvoiced(rng):
    whisper = analyze(0.1 * rng.standard_normal(SAMPLE_RATE // 2))._replace()
    whisper = whisper._replace(pitch=np.zeros_like(whisper.pitch))
    assert not change(whisper, SAME, rng).pitch.any()


def test_a_blend_is_between_two_voices_with_the_rhythm_of_the_first():
    first, second = analyze(vowel(150, 1000)), analyze(vowel(200, 2000, seconds=0.7))
    middle = blend(first, second, 0.5)
    assert len(middle.pitch) == len(first.pitch)
    assert pitch_of(middle) == pitch_of(first)
    envelope = np.log(middle.envelope.mean(0))
    low, high = np.log(first.envelope.mean(0)), np.log(second.envelope.mean(0))
    assert np.abs(envelope - (low + high) / 2)[5:400].mean() < np.abs(low - high)[5:400].mean() / 4
    assert np.allclose(blend(first, second, 0).envelope, first.envelope)


def test_missing_pyworld(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyworld", None)
    with pytest.raises(DataError, match=r'^pyworld is missing: pip install "samplecnn-hf\[vocoder\]"$'):
        analyze(np.zeros(1000))
