import numpy as np
import pytest

from training.synthetic.voices import SAMPLE_RATE, debian

VOICES = debian.installed_voices()


@pytest.mark.parametrize("voice", VOICES)
def test_voice_says_a_word(voice):
    samples = debian.say("marvin", voice)
    assert samples.dtype == np.float32
    assert np.abs(samples).max() > 0.05
    assert 0.2 < len(samples) / SAMPLE_RATE < 2


def test_voices_are_those_of_the_installed_programs(monkeypatch):
    monkeypatch.setattr(debian.shutil, "which", lambda program: None)
    assert debian.installed_voices() == []


@pytest.mark.parametrize("text", ["", 'stop") (system "ls', "stop; ls"])
def test_text_is_never_a_program(text):
    with pytest.raises(ValueError, match="text must consist of the letters"):
        debian.say(text, "festival/kal")
