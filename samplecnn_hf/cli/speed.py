"""`samplecnn benchmark`."""

import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Annotated

from typer import Option

from .describe import Model, read_json
from .inference import Device

LONG_CLIP = 32  # segments


def benchmark(
    model: Model,
    device: Device = None,
    seconds: Annotated[float, Option("--seconds", min=0, help="Minimum duration of each measurement.")] = 2,
):
    """
    Measure the speed of a model on this machine.

    Prints the latency of a clip of one segment, and how many seconds of a long recording are classified per second,
    from the waveform to the scores: with PyTorch, and with onnxruntime where the model has been exported.

    \b
    samplecnn benchmark runs/quickstart
    """
    import numpy as np

    inputs = read_json(model, "preprocessor_config.json")
    rate, length = inputs["sampling_rate"], inputs["segment_length"]
    noise = 0.1 * np.random.default_rng(0).standard_normal(LONG_CLIP * length, np.float32)
    print(f"{'':24}  {'one segment':>11}  {'long recording':>17}")
    for name, classify in _engines(model, device):
        latency = _measure(lambda classify=classify: classify(noise[:length], rate), seconds)
        speed = len(noise) / rate / _measure(lambda classify=classify: classify(noise, rate), seconds)
        print(f"{name:24}  {1000 * latency:8.2f} ms  {speed:7.0f} s per s", flush=True)


def _engines(model: str, device: str | None) -> Iterator[tuple[str, Callable]]:
    """Yield the name of each engine and a function of a waveform (samples,) and its rate in Hz."""
    from .engines import has_runtime, load_pipeline

    classifier = load_pipeline(model, device)
    dtype = str(classifier.dtype).removeprefix("torch.")
    yield f"torch {dtype}, {classifier.device}", lambda x, rate: classifier({"array": x, "sampling_rate": rate})
    if has_runtime(model):
        from ..runtime import Runtime

        yield "onnxruntime, cpu", Runtime(model)


def _measure(call: Callable, seconds: float) -> float:
    """Median duration in seconds of at least three calls after the first."""
    call()
    durations, end = [], time.perf_counter() + seconds
    while len(durations) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        durations.append(time.perf_counter() - start)
    return median(durations)
