import numpy as np
import pytest
import soundfile

from training.synthetic import example_sounds, say


@pytest.mark.parametrize("name", example_sounds.SOUNDS)
def test_sound(name, tmp_path):
    example_sounds.main([name, f"--output_dir={tmp_path}"])
    sound, rate = soundfile.read(tmp_path / f"{name}.wav")
    assert rate == example_sounds.SAMPLE_RATE and len(sound) == 5 * rate
    assert np.abs(sound).max() == pytest.approx(0.5, abs=1e-3)
    quarters = np.array_split(sound, 4)
    assert all(quarter.std() > 1e-3 for quarter in quarters)


def test_spoken_words(tmp_path):
    pytest.importorskip("espeakng_loader")
    say.main(["stop", "yes=oui", "--voice=fr", f"--output_dir={tmp_path / 'new'}"])
    for name in ("stop", "yes"):
        sound, rate = soundfile.read(tmp_path / "new" / f"{name}.wav")
        assert (len(sound), rate) == (16000, 16000) and np.abs(sound).max() == pytest.approx(0.5, abs=1e-3)
        assert not sound[:1000].any() and sound[7000:9000].any()  # in the middle


def test_voices_that_do_not_exist(tmp_path):
    pytest.importorskip("espeakng_loader")
    with pytest.raises(SystemExit, match="^error: espeak-ng rejects voice nobody.*; give other words or voices$"):
        say.main(["stop", "--voice=nobody", f"--output_dir={tmp_path}"])
    assert not list(tmp_path.iterdir())
