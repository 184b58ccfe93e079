import io

import numpy as np
import pytest
import soundfile

from samplecnn_hf import SampleCNNFeatureExtractor

RATE = 22050
FORMATS = ["wav", "flac", "ogg", "mp3"]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kind", ["str", "Path", "bytes", "file object"])
def test_read_audio(write_tone, make_tone, name, kind):
    path = write_tone(f"tone.{name}", seconds=1, sampling_rate=16000)
    file = {
        "str": lambda: str(path),
        "Path": lambda: path,
        "bytes": path.read_bytes,
        "file object": lambda: io.BytesIO(path.read_bytes()),
    }[kind]()
    
    assert rate == 16000
    assert audio.dtype == np.float32
    assert audio.shape == (16000, 1)
    np.testing.assert_allclose(audio[:, 0], make_tone(seconds=1, sampling_rate=16000), atol=0.05)


@pytest.mark.parametrize("name", FORMATS)
def test_read_stereo(tmp_path, make_tone, name):
    path = tmp_path / f"stereo.{name}"
    left, right = make_tone(440, seconds=1, sampling_rate=44100), make_tone(1000, seconds=1, sampling_rate=44100)
    soundfile.write(path, np.stack([left, right], axis=1), 44100)
    audio, rate = read_audio(path)
    assert (audio.shape, rate) == ((44100, 2), 44100)
    np.testing.assert_allclose(extractor().to_waveform(audio, 22050), (left + right) / 2, atol=0.05)


def damaged_files():
    """name -> content of files that are not (all) there."""
    rng = np.random.default_rng(0)
    # poor and rich in bits: where the pages of an ogg file end depends on it
    sounds = {
        "tone": 0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE),
        "noise": 0.3 * rng.standard_normal(RATE),
    }
    files = {
        "nothing.wav": b"",
        "nothing.mp3": b"",
        "text.wav": b"This is not audio.\n" * 100,
        "page.mp3": b"<!DOCTYPE html><html><body>404 Not Found</body></html>" * 20,
        "zeros.flac": bytes(5000),
        "riff.wav": b"RIFF",
    }
    for kind, sound in sounds.items():
        for name in FORMATS:
            buffer = io.BytesIO()
            soundfile.write(buffer, sound, RATE, format=name)
            content = buffer.getvalue()
            for percent in (1, 10, 50, 80, 95):
                files[f"{kind} cut at {percent} %.{name}"] = content[: len(content) * percent // 100]
    return files


DAMAGED = damaged_files()


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_refused_by_name(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(DAMAGED[name])
    with pytest.raises(ValueError) as error:
        read_audio(path)
    assert name in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError):
        read_audio(DAMAGED[name])


def test_piped_flac_that_does_not_know_its_length_is_refused_by_name(write_tone):
    path = write_tone("piped.flac")
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # the 36 bits of STREAMINFO's total number of samples
    content[22:26] = bytes(4)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="piped.flac.* does not say how long it is"):
        read_audio(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.wav"):
        read_audio(tmp_path / "nowhere.wav")


def test_folder_is_not_a_file(tmp_path):
    with pytest.raises(OSError):
        read_audio(tmp_path)


def test_wav_of_a_recorder_that_could_not_seek_back(write_tone):
    content = bytearray(write_tone(seconds=1).read_bytes())
    assert content[36:40] == b"data"
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    audio, _ = read_audio(bytes(content))
    assert len(audio) == RATE


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
def test_kinds_of_wav(tmp_path, make_tone, subtype):
    path = tmp_path / "tone.wav"
    soundfile.write(path, make_tone(), RATE, subtype=subtype)
    np.testing.assert_allclose(read_audio(path)[0][:, 0], make_tone(), atol=0.02)
