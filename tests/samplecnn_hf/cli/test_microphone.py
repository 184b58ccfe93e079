import json
import sys
from types import ModuleType

import numpy as np
import pytest

from samplecnn_hf import SampleCNNAudioClassificationPipeline, cli
from samplecnn_hf.cli import microphone

RATE = 44100
HOP = "--hop_length_s=0.05"  # a segment has 0.066 s


@pytest.fixture
def sound():
    return np.random.default_rng(0).uniform(-0.5, 0.5, RATE).astype(np.float32)


@pytest.fixture
def fake(monkeypatch, sound):
    """Takes the place of sounddevice; its microphone hears `sound`, and then somebody presses Ctrl-C."""

    class InputStream:
        def __init__(self, rate, *, device, channels, dtype, callback):
            assert (rate, channels, dtype) == (RATE, 1, "float32")
            module.device, self.callback = device, callback

        def __enter__(self):
            block = np.empty((1000, 1), np.float32)  # PortAudio reuses it
            for i in range(0, len(sound), 1000):
                block = block[: len(sound) - i]
                block[:] = sound[i : i + 1000, None]
                self.callback(block, len(block), None, None)

        def __exit__(self, *error):
            module.is_closed = True

    class PortAudioError(Exception):
        pass

    def query_devices(device, kind):
        if device == "none":
            raise PortAudioError("No input device matching 'none'")
        return {"default_samplerate": float(RATE)}

    module = ModuleType("sounddevice")
    module.InputStream, module.PortAudioError, module.query_devices = InputStream, PortAudioError, query_devices
    monkeypatch.setitem(sys.modules, "sounddevice", module)

    def get(self):
        if self.empty():
            raise KeyboardInterrupt
        return self.queue.popleft()

    monkeypatch.setattr(microphone.queue.Queue, "get", get)
    return module


def rows(capsys):
    out, err = capsys.readouterr()
    assert err == "listening at 44100 Hz; press Ctrl-C to stop\n"
    return [json.loads(line) for line in out.splitlines()]


def test_windows_are_those_of_the_pipeline(pretrained, fake, sound, capsys):
    cli.main(["listen", str(pretrained), "--timestamps", HOP, "--microphone=3"])
    pipe = SampleCNNAudioClassificationPipeline.from_pretrained(pretrained)
    clip = {"array": sound, "sampling_rate": RATE}
    expected = pipe(clip, return_timestamps=True, hop_length_s=0.05, top_k=1)["chunks"]
    found = rows(capsys)
    assert len(expected) - 2 <= len(found) <= len(expected)  # without the padded windows at the end
    for row, chunk in zip(found, expected, strict=False):
        assert (row["start"], row["end"]) == pytest.approx(chunk["timestamp"], abs=1e-4)
        assert row["label"] == chunk["scores"][0]["label"]
        assert row["score"] == pytest.approx(chunk["scores"][0]["score"], abs=1e-4)
    assert fake.device == 3 and fake.is_closed


def test_detections(pretrained, fake, capsys):
    cli.main(["listen", str(pretrained), "--threshold=0.01", HOP])
    labels = SampleCNNAudioClassificationPipeline.from_pretrained(pretrained).model.config.labels
    detections = rows(capsys)
    assert [row["label"] for row in detections] == labels  # once each: the events last until the end
    assert {(row["start"], row["end"]) for row in detections} == {(0, None)}
    cli.main(["listen", str(pretrained), "--threshold=0.999", HOP])
    assert rows(capsys) == []


def test_words_of_a_spotter(pretrained, fake, capsys):
    file = pretrained / "config.json"
    config = json.loads(file.read_text())
    labels = [*list(config["id2label"].values())[:-1], "_unknown_"]
    config |= {"id2label": dict(enumerate(labels)), "label2id": {name: i for i, name in enumerate(labels)}}
    file.write_text(json.dumps(config | {"thresholds": [0.01] * len(labels)}))
    cli.main(["listen", str(pretrained), HOP])
    (detection,) = rows(capsys)  # at most one per second
    assert detection["start"] == 0 and detection["label"] in labels[:-1]


def test_time_limit(pretrained, fake, capsys):
    cli.main(["listen", str(pretrained), "--timestamps", "--seconds=0.3", HOP])
    assert rows(capsys)[-1]["end"] == pytest.approx(0.3, abs=0.06)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--microphone=none"], "cannot use the microphone: No input device matching 'none'"),
        (["--threshold=tuned"], "this model has no tuned thresholds, "),
        (["--hop_length_s=9"], "hop_length_s must be from one sample to one segment"),
    ],
)
def test_faults(pretrained, fake, words, message):
    with pytest.raises(SystemExit, match=f"^error: {message}[^\n]*$"):
        cli.main(["listen", str(pretrained), HOP, *words])


def test_timestamps_have_no_threshold(pretrained, fake, capsys):
    with pytest.raises(SystemExit):
        cli.main(["listen", str(pretrained), "--timestamps", "--threshold=0.5"])
    assert "--timestamps prints the best label of each window: leave --threshold out" in capsys.readouterr().err


def test_a_model_that_is_too_slow(pretrained, fake, monkeypatch):
    monkeypatch.setattr(microphone, "MAX_CHUNKS", 10)
    with pytest.raises(SystemExit, match="^error: the model is too slow for this microphone: [^\n]*$"):
        cli.main(["listen", str(pretrained), HOP])


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ImportError("sounddevice"), "the microphone needs sounddevice: pip install 'samplecnn-hf.listen.'"),
        (OSError("PortAudio library not found"), "PortAudio library not found: install PortAudio [(]Debian: .*[)]"),
    ],
)
def test_without_sounddevice(pretrained, monkeypatch, error, message):
    class Finder:
        def find_spec(name, path=None, target=None):
            if name == "sounddevice":
                raise error

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    with pytest.raises(SystemExit, match=f"^error: {message}$"):
        cli.main(["listen", str(pretrained)])
