"""Audio files through the feature extractor: all formats, damaged ones, and those that would fill the memory."""

import io
import os
import pathlib
import tracemalloc

import numpy as np
import pytest
import soundfile
import soxr

from samplecnn_hf import SampleCNNFeatureExtractor
from samplecnn_hf import audio_samplecnn as module

RATE = 22050
FORMATS = ["wav", "flac", "ogg", "mp3"]
EXTRACTOR = SampleCNNFeatureExtractor(segment_length=400)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_SAMPLES", 1000)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kind", ["str", "Path", "bytes", "bytearray", "memoryview", "BytesIO", "file"])
def test_files(write_tone, make_tone, name, kind):
    path = write_tone(f"tone.{name}", seconds=1)
    convert = {
        "str": str,
        "Path": pathlib.Path,
        "bytes": pathlib.Path.read_bytes,
        "bytearray": lambda path: bytearray(path.read_bytes()),
        "memoryview": lambda path: memoryview(path.read_bytes()),
        "BytesIO": lambda path: io.BytesIO(path.read_bytes()),
        "file": lambda path: path.open("rb"),
    }[kind]
    waveform = EXTRACTOR.to_waveform(convert(path))
    assert (waveform.dtype, waveform.shape) == (np.float32, (RATE,))
    np.testing.assert_allclose(waveform, make_tone(seconds=1), atol=0.05)


def test_a_list_of_files_is_a_batch(write_tone, make_tone):
    paths = [write_tone("a.wav", seconds=0.01), str(write_tone("b.flac", seconds=0.05, sampling_rate=44100))]
    result = EXTRACTOR(paths)
    assert result["attention_mask"].sum(1).tolist() == [1, 3]
    np.testing.assert_array_equal(result["input_values"][:1, :1], EXTRACTOR(paths[0])["input_values"])
    np.testing.assert_allclose(result["input_values"][1, 0], make_tone(seconds=0.05)[:400], atol=0.01)


@pytest.mark.parametrize("name, channels", [*((name, 2) for name in FORMATS), ("wav", 6), ("flac", 8)])
def test_channels_are_mixed_down(tmp_path, make_tone, name, channels):
    path = tmp_path / f"channels.{name}"
    tones = [make_tone(300 * (i + 1), seconds=1, sampling_rate=44100) for i in range(channels)]
    soundfile.write(path, np.stack(tones, axis=1), 44100)
    expected = soxr.resample(np.mean(tones, axis=0), 44100, RATE)
    np.testing.assert_allclose(EXTRACTOR.to_waveform(path), expected, atol=0.05)


def test_one_frame_of_eight_channels_is_one_sample(tmp_path):
    soundfile.write(tmp_path / "frame.wav", np.full((1, 8), 0.5), RATE)
    assert EXTRACTOR.to_waveform(tmp_path / "frame.wav").tolist() == [0.5]


def test_a_file_object_is_read_from_its_beginning_and_stays_open(write_tone):
    with write_tone().open("rb") as file:
        first = EXTRACTOR.to_waveform(file)
        np.testing.assert_array_equal(EXTRACTOR.to_waveform(file), first)


def test_the_suffix_does_not_matter(write_tone):
    path = write_tone("tone.wav")
    expected = EXTRACTOR.to_waveform(path)
    for suffix in (".raw", ".mp3", ""):
        np.testing.assert_array_equal(EXTRACTOR.to_waveform(path.rename(path.with_suffix(suffix))), expected)
        path = path.with_suffix(suffix)


@pytest.mark.parametrize("rate", [1000, 8000, RATE, 44100, 655350])
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_blocks_change_nothing(small_blocks, tmp_path, rate, channels):
    """As if the whole file had been decoded, mixed down and resampled at once."""
    path = tmp_path / "noise.wav"
    frames = (0.1 * np.random.default_rng(0).standard_normal((max(5000, rate // 3), channels))).astype(np.float32)
    soundfile.write(path, frames, rate, subtype="FLOAT")

    def expected(mono):
        return mono if rate == RATE else soxr.resample(mono, rate, RATE)

    channels_first = np.ascontiguousarray(frames.T)
    np.testing.assert_array_equal(EXTRACTOR.to_waveform(path), expected(frames.mean(axis=1)))
    np.testing.assert_array_equal(EXTRACTOR.to_waveform(frames, rate), expected(frames.mean(axis=1)))
    np.testing.assert_array_equal(EXTRACTOR.to_waveform(channels_first, rate), expected(channels_first.mean(axis=0)))
    blocks = list(EXTRACTOR.to_blocks(path))
    assert len(blocks) > 3
    assert max(map(len, blocks)) < 2**15  # soxr has blocks of its own


def damaged_files():
    """name -> content of files that are not (all) there."""
    rng = np.random.default_rng(0)
    # compressible to different degrees: it decides where the pages of an ogg file end
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
        "samples.raw": rng.integers(-1000, 1000, 5000).astype(np.int16).tobytes(),
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
        EXTRACTOR.to_waveform(path)
    assert name in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError):
        EXTRACTOR.to_waveform(DAMAGED[name])


def test_piped_flac_that_does_not_know_its_length_is_refused_by_name(write_tone):
    path = write_tone("piped.flac")
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # the 36 bits of STREAMINFO's total number of samples
    content[22:26] = bytes(4)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="piped.flac.* does not say how long it is"):
        EXTRACTOR.to_waveform(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.wav"):
        EXTRACTOR.to_waveform(tmp_path / "nowhere.wav")


@pytest.mark.parametrize("path", ["null\0.wav", "long" * 1000, "", "nowhere/\n.wav"])
def test_impossible_names(path):
    with pytest.raises((ValueError, OSError)) as error:
        EXTRACTOR.to_waveform(path)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX")
@pytest.mark.parametrize("kind", ["folder", "fifo", "/dev/null", "/dev/zero"])
def test_only_regular_files_are_opened(tmp_path, kind):
    path = tmp_path / kind if kind[0] != "/" else pathlib.Path(kind)
    if kind == "fifo":
        os.mkfifo(path)  # to open one waits for a writer, who never comes
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(ValueError, match=f"{path.name}.* is not a file"):
        EXTRACTOR.to_waveform(path)


@pytest.mark.parametrize("make", [io.StringIO, lambda: os.fdopen(os.pipe()[0], "rb"), lambda: open(os.devnull)])
def test_file_objects_must_be_binary_and_seekable(make):
    with make() as file, pytest.raises(TypeError, match="binary and seekable"):
        EXTRACTOR.to_waveform(file)


def test_a_rate_contradicts_a_file(write_tone):
    for file in (write_tone(), write_tone().read_bytes()):
        with pytest.raises(ValueError, match="has its own sampling rate"):
            EXTRACTOR(file, sampling_rate=RATE)


def test_wav_of_a_recorder_that_could_not_seek_back(write_tone):
    content = bytearray(write_tone(seconds=1).read_bytes())
    assert content[36:40] == b"data"
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    assert len(EXTRACTOR.to_waveform(bytes(content))) == RATE


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
def test_kinds_of_wav(tmp_path, make_tone, subtype):
    path = tmp_path / "tone.wav"
    soundfile.write(path, make_tone(), RATE, subtype=subtype)
    np.testing.assert_allclose(EXTRACTOR.to_waveform(path), make_tone(), atol=0.02)


@pytest.mark.parametrize("channels, message", [(9, "has 9 channels; a clip has at most 8"), (16, "has 16 channels")])
def test_too_many_channels(tmp_path, channels, message):
    soundfile.write(tmp_path / "many.wav", np.zeros((100, channels)), RATE)
    with pytest.raises(ValueError, match=f"many.wav' {message}"):
        EXTRACTOR.to_waveform(tmp_path / "many.wav")


# ---------------------------------------------------------------------------------------------------------------------
# Bounded memory
# ---------------------------------------------------------------------------------------------------------------------

BOMBS = {  # sampling rate, channels, seconds: small files of silence
    "1 kHz, resampled to 22 times the samples": (1000, 1, 1200),
    "8 channels at 655 kHz": (655_350, 8, 10),
    "stereo": (48_000, 2, 120),
}


@pytest.fixture(params=BOMBS)
def bomb(tmp_path, request):
    rate, channels, seconds = BOMBS[request.param]
    path = tmp_path / "bomb.flac"
    with soundfile.SoundFile(path, "w", rate, channels, format="FLAC") as file:
        for _ in range(seconds):
            file.write(np.zeros((rate, channels), np.int16))
    assert path.stat().st_size < 200_000
    return path


def test_decoding_holds_a_few_blocks_only(bomb):
    extractor = SampleCNNFeatureExtractor()
    tracemalloc.start()
    num_samples = sum(map(len, extractor.to_blocks(bomb)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    seconds = soundfile.info(bomb).duration
    assert num_samples == pytest.approx(seconds * RATE, rel=1e-3)
    assert peak < 8 * 4 * module.BLOCK_SAMPLES  # 32 MB; decoded, each bomb holds 46 to 210 MB


def test_max_samples_stops_the_reading(bomb, monkeypatch):
    read = []
    to_mono = module.to_mono
    monkeypatch.setattr(module, "to_mono", lambda block, name: read.append(block) or to_mono(block, name))
    with pytest.raises(ValueError, match="too long: cut it to 0 minutes or less"):
        SampleCNNFeatureExtractor().to_waveform(bomb, max_samples=1000)
    assert len(read) <= 2


def test_a_file_of_too_many_samples_is_refused_unread(bomb):
    with pytest.raises(ValueError, match="bomb.flac' is too long"):
        next(EXTRACTOR.to_blocks(bomb, max_file_samples=1_000_000))
    with pytest.raises(ValueError, match="bomb.flac' is too long"):
        EXTRACTOR.to_waveform(bomb, max_file_samples=1_000_000)
