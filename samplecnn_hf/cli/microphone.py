"""`samplecnn listen`."""

import queue
import sys
from collections.abc import Iterator
from typing import Annotated

from typer import BadParameter, Option

from .describe import Model
from .inference import Device, Threshold, parse_threshold
from .tables import to_json

MAX_CHUNKS = 1000  # that wait for the model: some seconds


def listen(
    model: Model,
    threshold: Threshold = None,
    hop_length_s: Annotated[float, Option("--hop_length_s", help="Seconds between two windows.")] = 0.25,
    timestamps: Annotated[bool, Option("--timestamps", help="Print the best label of each window.")] = False,
    seconds: Annotated[float | None, Option("--seconds", min=0, help="Stop after this time.")] = None,
    microphone: Annotated[
        str | None, Option("--microphone", help="Number or part of the name of an input (default: the system's).")
    ] = None,
    device: Device = None,
):
    """
    Listen to the microphone and print what is detected.

    A label is printed when its score reaches the threshold (default: the model's thresholds, or 0.5), before its end
    is known. A keyword spotter prints each word once, and neither _silence_ nor _unknown_. Press Ctrl-C to stop. Needs
    the extra listen.

    \b
    samplecnn listen runs/quickstart --threshold 0.8
    """
    minimum = parse_threshold(threshold)
    if timestamps and minimum is not None:
        raise BadParameter("--timestamps prints the best label of each window: leave --threshold out")
    sounddevice = _import_sounddevice()
    from ..streaming import SampleCNNStream, create_detector
    from .engines import load_pipeline

    classifier = load_pipeline(model, device)
    try:
        rate = sounddevice.query_devices(_number_or_name(microphone), "input")["default_samplerate"]
        stream = SampleCNNStream(classifier.model, classifier.feature_extractor, hop_length_s, rate)
        if timestamps:
            detect = _best_label
        else:
            detect = create_detector(classifier.model.config, stream.hop_length_s, minimum)
        for chunk in _record(sounddevice, _number_or_name(microphone), rate, seconds):
            for row in stream.push(chunk):
                for detection in detect(row):
                    _print(detection)
    except sounddevice.PortAudioError as error:
        raise OSError(f"cannot use the microphone: {error}") from error
    except KeyboardInterrupt:
        pass


def _best_label(row: dict) -> list[dict]:
    return [{**row, **row["scores"][0]}]


def _import_sounddevice():
    try:
        import sounddevice
    except ImportError as error:
        raise ImportError("the microphone needs sounddevice: pip install 'samplecnn-hf[listen]'") from error
    except OSError as error:
        raise OSError(f"{error}: install PortAudio (Debian: apt-get install libportaudio2)") from error
    return sounddevice


def _number_or_name(microphone: str | None) -> int | str | None:
    return int(microphone) if microphone is not None and microphone.isdecimal() else microphone


def _record(sounddevice, microphone, rate: float, seconds: float | None) -> Iterator:
    """Yield chunks (samples, 1) of float32."""
    chunks, num_samples = queue.Queue(MAX_CHUNKS), 0

    def keep(chunk, *_):
        try:
            chunks.put_nowait(chunk.copy())
        except queue.Full:
            pass

    with sounddevice.InputStream(rate, device=microphone, channels=1, dtype="float32", callback=keep):
        print(f"listening at {rate:.0f} Hz; press Ctrl-C to stop", file=sys.stderr)
        while seconds is None or num_samples < seconds * rate:
            if chunks.full():
                raise RuntimeError("the model is too slow for this microphone: give a larger --hop_length_s")
            chunk = chunks.get()
            num_samples += len(chunk)
            yield chunk


def _print(detection: dict):
    start, end = detection["timestamp"]
    label, score = detection["label"], detection["score"]
    if sys.stdout.isatty():
        until = " " * 9 if end is None else f"{end:9.2f}"
        print(f"{start:9.2f} {until} s  {score:.3f}  {label}", flush=True)
    else:
        print(to_json({"start": start, "end": end, "label": label, "score": score}), flush=True)
