"""The API of the demo, called with `gradio_client`."""

import importlib
import json
import re
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import Request

import numpy as np
import pytest
import soundfile
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from samplecnn_hf import SampleCNNAudioClassificationPipeline
from tests.spaces_demo.conftest import SEGMENT_SECONDS

SPACE = Path(__file__).parents[2] / "spaces_demo"

pytestmark = pytest.mark.slow


@pytest.fixture
def client(space, tmp_path):
    return Client(space.url, verbose=False, download_files=str(tmp_path / "downloads"))


def classify(client, path, model="words"):
    """Summary, {label: probability} of the top labels, and the tables of the events and of the windows."""
    summary, probabilities, events, plot, table = client.predict(handle_file(str(path)), model, api_name="/classify")
    assert is_image(plot)
    return summary, scores(probabilities), rows(events), rows(table)


def scores(label) -> dict[str, float]:
    return {row["label"]: row["confidence"] for row in label["confidences"]}


def rows(table) -> list[dict]:
    return [dict(zip(table["headers"], row, strict=True)) for row in table["data"]]


def pipeline(space, model):
    return SampleCNNAudioClassificationPipeline.from_pretrained(space.folder / model)


def is_image(output) -> bool:
    return output["plot"].startswith("data:image/")


@pytest.mark.parametrize("name, rate", [("clip.wav", 22050), ("clip.mp3", 44100), ("clip.flac", 16000)])
@pytest.mark.parametrize("model", ["words", "tags"])
def test_probabilities_are_those_of_the_pipeline(client, space, write_tone, model, name, rate):
    path = write_tone(name, seconds=0.4, sampling_rate=rate)
    expected = pipeline(space, model)(str(path), top_k=5)
    probabilities = classify(client, path, model)[1]
    assert list(probabilities) == [answer["label"] for answer in expected]
    assert list(probabilities.values()) == pytest.approx([answer["score"] for answer in expected], abs=1e-5)


def test_summary_of_spoken_words(client, write_changes, write_tone):
    summary, _, events, _ = classify(client, write_changes(), "spotter")
    assert summary == "Detected: " + ", ".join(f"**{event['label']}**" for event in events)
    assert classify(client, write_tone(seconds=0.05), "spotter")[0].endswith("%")  # a single window


def test_summary(client, write_tone):
    path = write_tone(seconds=0.2)
    summary, probabilities, *_ = classify(client, path)
    assert re.fullmatch(rf"\*\*{next(iter(probabilities))}\*\*, with a probability of \d+%, on average", summary)
    summary, probabilities, *_ = classify(client, path, "tags")
    detected = [label for label, score in probabilities.items() if score >= 0.5]
    assert 0 < len(detected) < 5 and summary == "Detected: " + ", ".join(f"**{label}**" for label in detected)
    assert classify(client, write_tone(seconds=0.05))[0].endswith("%")


@pytest.mark.parametrize("model", ["words", "tags", "spotter"])
def test_events_and_windows_are_those_of_the_pipeline(client, space, write_changes, model):
    """Of the whole clip, also for the model `tags`, which uses only two segments for the clip's probabilities."""
    path = write_changes()
    expected = pipeline(space, model)(
        str(path),
        return_timestamps=True,
        top_k=None,
        events=True,
        minimum_event_gap_s=0.5,
        hop_length_s=SEGMENT_SECONDS / 3,
    )
    _, _, events, windows = classify(client, path, model)
    assert len(events) == len(expected["events"]) > 1
    for event, other in zip(events, expected["events"], strict=True):
        assert event["label"] == other["label"]
        assert (event["from (s)"], event["to (s)"], event["score"]) == pytest.approx(
            (*other["timestamp"], other["score"]), abs=0.006
        )
    assert len(windows) == len(expected["chunks"]) > 40
    for window, other in zip(windows, expected["chunks"], strict=True):
        assert window.pop("start (s)") == pytest.approx(other["timestamp"][0], abs=0.006)
        assert window == pytest.approx({item["label"]: item["score"] for item in other["scores"]}, abs=1e-4)


def test_alt_text_of_the_timeline(client, write_changes):
    path = handle_file(str(write_changes()))
    _, _, events, plot, _ = client.predict(path, "words", api_name="/classify")
    named = [f"{event['label']} from {event['from (s)']:.1f} to {event['to (s)']:.1f} s" for event in rows(events)]
    assert len(named) == 6
    assert plot["chart"].startswith(f"Probabilities over time: {', '.join(named[:5])}, and 1 more.")


def test_compare(client, write_tone):
    path = write_tone()
    both = client.predict(handle_file(str(path)), "words", "basic", api_name="/compare")
    for answer, model in zip(both, ("words", "basic"), strict=True):
        assert scores(answer) == pytest.approx(classify(client, path, model)[1], abs=1e-5)


def test_labels_are_text_on_one_line(client, write_tone):
    summary, probabilities, _, windows = classify(client, write_tone(seconds=0.3), "hostile")
    label = next(iter(probabilities))
    assert label.isprintable() and all(name.isprintable() for row in windows for name in row)
    shown = re.sub(r"\\([^\w\s])", r"\1", summary)  # as rendered Markdown
    assert shown.startswith(f"**{label}**, with a probability of")
    assert not re.search(r"(?<!\\)[<>\[\]$|]", summary)


def test_plots_of_the_network(client, write_tone):
    assert is_image(client.predict(handle_file(str(write_tone())), "words", api_name="/excitations"))
    assert is_image(client.predict("words", 1, api_name="/filters"))


def test_excitations_of_a_network_without_se_blocks(client, write_tone):
    with pytest.raises(AppError, match="'basic' blocks has no excitations"):
        client.predict(handle_file(str(write_tone())), "basic", api_name="/excitations")


def text(path):
    path.write_text("not audio\n" * 100)


def empty_file(path):
    path.touch()


def no_samples(path):
    soundfile.write(path, np.zeros(0), 22050)


def cut_off(path):
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 44100), 22050)
    path.write_bytes(path.read_bytes()[:30_000])


def not_a_number(path):
    soundfile.write(path, np.full(22050, np.nan, dtype=np.float32), 22050, subtype="FLOAT")


def too_long(path):
    """An hour of silence: 150 kB of FLAC, 300 MB decoded."""
    soundfile.write(path, np.zeros(3600 * 22050, dtype=np.int16), 22050, format="FLAC")


def headerless(path):
    path.write_bytes(np.random.default_rng(0).integers(-1000, 1000, 5000).astype(np.int16).tobytes())


@pytest.mark.parametrize(
    "write, message",
    [
        (text, "cannot be read as audio"),
        (empty_file, "cannot be read as audio"),
        (no_samples, "has no samples"),
        (cut_off, "This file is truncated"),
        (not_a_number, "NaN"),
        (too_long, "too long"),
        (headerless, "cannot be read as audio"),
    ],
)
def test_invalid_uploads_are_rejected(client, space, write_tone, tmp_path, write, message):
    path = tmp_path / ("upload.raw" if write is headerless else "upload.wav")
    write(path)
    with pytest.raises(AppError, match=message) as rejected:
        classify(client, path)
    assert str(space.folder) not in str(rejected.value)
    assert classify(client, write_tone())[1]


@pytest.mark.parametrize("seconds, rate, channels", [(600, 1000, 1), (30, 655_350, 8)])
@pytest.mark.parametrize("function", ["/classify", "/excitations"])
def test_memory_of_highly_compressed_files(client, space, tmp_path, function, seconds, rate, channels):
    """Silence: 2 kB that become 13 million samples after resampling, and 200 kB that are 630 MB decoded."""
    path = tmp_path / "bomb.flac"
    with soundfile.SoundFile(path, "w", rate, channels) as file:
        for _ in range(seconds):
            file.write(np.zeros((rate, channels), dtype=np.int16))
    assert path.stat().st_size < 250_000
    space.reset_peak()
    before = space.megabytes()
    client.predict(handle_file(str(path)), "words", api_name=function)
    assert space.megabytes("VmHWM") < before + 400


def test_no_audio(client):
    with pytest.raises(AppError, match="No audio"):
        client.predict(None, "words", api_name="/classify")


@pytest.mark.parametrize("model", ["../../etc/passwd", "/etc/passwd", "org/other", "", None])
def test_only_listed_models_are_loaded(client, write_tone, model):
    path = write_tone()
    with pytest.raises(AppError, match="not in the list of choices|Unknown model"):
        classify(client, path, model)
    assert classify(client, path)[1]


@pytest.mark.parametrize(
    "path, message",
    [
        ("/etc/passwd", None),
        ("../../../../etc/passwd", None),
        ("http://127.0.0.1:9/clip.wav", "does not download audio"),
    ],
)
def test_only_uploads_are_read(client, space, write_tone, path, message):
    """Neither files of the server nor URLs; requested without gradio's client, which would upload them."""
    call = f"{space.url}/gradio_api/call/classify"
    data = json.dumps({"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}, "words"]}).encode()
    with urllib.request.urlopen(Request(call, data, {"Content-Type": "application/json"})) as response:
        event = json.load(response)["event_id"]
    with urllib.request.urlopen(f"{call}/{event}") as response:
        answer = response.read().decode()
    assert "event: error" in answer and "root:" not in answer and "cannot be read as audio" not in answer
    assert message is None or message in answer
    assert classify(client, write_tone())[1]


def test_a_large_upload_is_rejected_before_it_is_stored(client, space, write_tone, tmp_path):
    path = tmp_path / "huge.wav"
    with path.open("wb") as file:
        file.truncate(10**9)
    before = space.megabytes()
    with pytest.raises(Exception, match="exceeds|too large|413"):
        classify(client, path)
    stored = sum(file.stat().st_size for file in (space.folder / "uploads").rglob("*") if file.is_file())
    assert stored < 10**8 and space.megabytes() < before + 200
    assert classify(client, write_tone())[1]


def test_concurrent_visitors_in_constant_memory(space, write_tone):
    path = write_tone(seconds=5.0)

    def visit(_):
        return classify(Client(space.url, verbose=False), path)

    with ThreadPoolExecutor(20) as visitors:
        first = list(visitors.map(visit, range(20)))
        after_first = space.megabytes()
        second = list(visitors.map(visit, range(20)))
    assert len(first) == 20 and all(answer == first[0] for answer in first + second)
    assert space.megabytes() < after_first + 50


@pytest.mark.parametrize(
    "models, message", [([], "no models"), (["/nowhere/model"], "error: "), (["words", "words"], "same name")]
)
def test_invalid_command_lines(space, monkeypatch, capsys, models, message):
    monkeypatch.syspath_prepend(SPACE)
    with pytest.raises(SystemExit) as stopped:
        importlib.import_module("app").main([str(space.folder / name) if name == "words" else name for name in models])
    assert stopped.value.code and message in f"{stopped.value.code}{capsys.readouterr().err}"
