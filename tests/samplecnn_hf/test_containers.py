import builtins
import io
import shutil

import numpy as np
import pytest

from samplecnn_hf import SampleCNNFeatureExtractor, cli
from samplecnn_hf.containers_samplecnn import container_format

av = pytest.importorskip("av", reason="needs the extra av: pip install av")

RATE = 22050
SECONDS = 3.0
# suffix: format of FFmpeg, codec, sampling rate, channels
FORMATS = {
    "m4a": ("ipod", "aac", 44100, 2),
    "mp4": ("mp4", "aac", 22050, 1),
    "aac": ("adts", "aac", 16000, 1),
    "webm": ("webm", "libopus", 48000, 2),
    "mkv": ("matroska", "pcm_s16le", 22050, 6),
}


@pytest.fixture(scope="session")
def encode(make_tone):
    """encode("m4a"): the content of a file with a tone of 440 Hz in all channels."""

    def encode(suffix, seconds=SECONDS):
        container, codec, rate, channels = FORMATS[suffix]
        layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
        tone = np.tile(make_tone(seconds=seconds, sampling_rate=rate), (channels, 1))
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout=layout)
        frame.sample_rate = rate
        file = io.BytesIO()
        with av.open(file, "w", format=container) as output:
            track = output.add_stream(codec, rate=rate, layout=layout)
            track.codec_context.open()
            size = track.codec_context.frame_size or 1024
            resampler = av.AudioResampler(track.codec_context.format, layout, rate, frame_size=size)
            for part in (*resampler.resample(frame), *resampler.resample(None), None):
                output.mux(track.encode(part))
        return file.getvalue()

    return encode


@pytest.fixture
def extractor():
    return SampleCNNFeatureExtractor(sampling_rate=RATE)


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_waveform_is_decoded(extractor, encode, make_tone, suffix):
    waveform = extractor.to_waveform(encode(suffix))
    assert waveform.dtype == np.float32
    assert len(waveform) == pytest.approx(SECONDS * RATE, abs=0.1 * RATE)  # codecs add silence
    middle = waveform[RATE : 2 * RATE]
    spectrum = np.abs(np.fft.rfft(middle))
    assert spectrum.argmax() == 440 and np.abs(middle).max() == pytest.approx(0.3, rel=0.05)


def test_blocks_are_bounded(extractor, encode, monkeypatch):
    from samplecnn_hf import audio_samplecnn

    monkeypatch.setattr(audio_samplecnn, "BLOCK_SAMPLES", 8192)
    content = encode("m4a")
    blocks = list(extractor.to_blocks(content))
    assert max(map(len, blocks)) < 8192
    monkeypatch.undo()
    assert np.concatenate(blocks) == pytest.approx(extractor.to_waveform(content), abs=1e-6)


@pytest.mark.parametrize("suffix", FORMATS)
def test_files_that_are_too_long(extractor, encode, suffix):
    content = encode(suffix)
    extractor.to_waveform(content, max_file_samples=2_000_000)
    with pytest.raises(ValueError, match="is too long"):
        extractor.to_waveform(content, max_file_samples=40_000)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("seed", range(8))
def test_damaged_files(extractor, encode, suffix, seed):
    """One line of error, or whatever could be decoded."""
    generator = np.random.default_rng(seed)
    content = np.frombuffer(encode(suffix, 1.0), np.uint8).copy()
    places = generator.integers(12, len(content), 20)
    content[places] = generator.integers(0, 256, 20)
    try:
        assert np.isfinite(extractor.to_waveform(content.tobytes()[: generator.integers(12, len(content))])).all()
    except ValueError as error:
        assert len(str(error).splitlines()) == 1


def test_truncated_file(extractor, encode):
    content = encode("m4a")  # its table of samples is at the end
    with pytest.raises(ValueError, match="the audio cannot be read as audio: .*"):
        extractor.to_waveform(content[: len(content) // 2])


def test_no_audio_track(extractor):
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as output:
        track = output.add_stream("mjpeg", rate=1, width=16, height=16, pix_fmt="yuvj420p")
        output.mux(track.encode(av.VideoFrame(16, 16, "yuvj420p")))
        output.mux(track.encode(None))
    with pytest.raises(ValueError, match="^the audio has no audio track$"):
        extractor.to_waveform(file.getvalue())


def test_formats_of_libsndfile(write_tone):
    for suffix in ("wav", "flac", "ogg", "mp3", "aiff"):
        assert container_format(write_tone(f"tone.{suffix}").read_bytes()[:12]) is None


def test_command_line(encode, pretrained, tmp_path, capsys):
    for suffix in ("m4a", "aac", "webm"):
        (tmp_path / f"tone.{suffix}").write_bytes(encode(suffix))
    shutil.copy(tmp_path / "tone.m4a", tmp_path / "named.wav")
    cli.main(["classify", str(tmp_path), "-m", str(pretrained), "--top_k=1"])
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_without_pyav(extractor, encode, monkeypatch):
    original = builtins.__import__

    def without_av(name, *args, **kwargs):
        if name == "av":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    content = encode("m4a")
    monkeypatch.setattr(builtins, "__import__", without_av)
    with pytest.raises(ValueError, match="^the audio is mp4 audio, which needs PyAV: pip install av$"):
        extractor.to_waveform(content)
