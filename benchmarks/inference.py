"""
Throughput, memory and cold start of this package, its exported files, a plain network and models of transformers.

    python -m benchmarks.inference runs/quickstart --calibration MY_SOUNDS  # writes benchmarks/results/inference.json
    python -m benchmarks.inference --plot docs/images/inference.png         # a picture of it

Each implementation runs in new processes, alternating with the others, with random weights; the peers get as much
audio per example as a segment of ours. `gpu` is "untested" without a GPU.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from benchmarks.common import RESULTS, in_new_process, reset_peak_memory, resident_memory, untrained, write_results
from benchmarks.plain import PlainSampleCNN
from samplecnn_hf import SampleCNNForAudioClassification, create_config

VARIANT, NUM_LABELS = "se-9", 50
BATCH_SIZES = (1, 2, 4, 16, 64)
PLOTTED_SIZES = (1, 16)
SECONDS, ROUNDS = 1.0, 2  # per measurement; measurements of each implementation and batch size
BASELINE = "plain Conv1d, float32"
DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}
PEERS = ("AST", "wav2vec2-base", "Whisper-tiny encoder")
RUNTIMES = {  # format and dtype of the exported file
    "runtime, onnxruntime float32": ("onnx", "float32"),
    "runtime, onnxruntime int8": ("onnx", "int8"),
    "runtime, OpenVINO float32": ("openvino", "float32"),
    "runtime, OpenVINO bf16": ("openvino", "bfloat16"),
    "runtime, OpenVINO int8": ("openvino", "int8"),
}


def ours(dtype: str, optimized: bool, compiled: bool, device: str):
    model = SampleCNNForAudioClassification(create_config(VARIANT, num_labels=NUM_LABELS)).eval()
    model = model.optimize_for_inference(DTYPES[dtype]) if optimized else model.to(DTYPES[dtype])
    model = model.to(device)
    forward = torch.compile(model, fullgraph=True) if compiled else model
    return lambda segments: forward(segments.unsqueeze(1)).logits


def plain(dtype: str, device: str):
    return PlainSampleCNN(create_config(VARIANT, num_labels=NUM_LABELS)).eval().to(device, DTYPES[dtype])


def peer(name: str, device: str):
    """A model of transformers with random weights, on features of the right size; their extraction is not timed."""
    import transformers

    config = create_config(VARIANT)
    seconds = config.segment_length / config.sampling_rate
    if name == "AST":  # 100 frames of 128 mel bins per second
        settings = transformers.ASTConfig(max_length=round(100 * seconds), num_labels=NUM_LABELS)
        model, shape = transformers.ASTForAudioClassification(settings), (settings.max_length, settings.num_mel_bins)
    elif name == "wav2vec2-base":
        settings = transformers.Wav2Vec2Config(num_labels=NUM_LABELS)
        model, shape = transformers.Wav2Vec2ForSequenceClassification(settings), (round(16000 * seconds),)
    else:  # 100 frames of 80 mel bins per second, two of which are one position; WhisperEncoder wants exactly these
        settings = transformers.WhisperConfig(
            d_model=384,
            encoder_layers=4,
            encoder_attention_heads=6,
            encoder_ffn_dim=1536,
            max_source_positions=round(50 * seconds),
            num_labels=NUM_LABELS,
        )
        model = transformers.WhisperForAudioClassification(settings)
        shape = (settings.num_mel_bins, 2 * settings.max_source_positions)
    model = model.eval().to(device)
    return lambda segments: model(torch.zeros(len(segments), *shape, device=device)).logits


def exported(path: str, device: str):
    from samplecnn_hf.runtime import Runtime

    # OpenVINO would start a process to send usage statistics, which imports this file again, during the measurement.
    sys.modules["openvino_telemetry"] = None
    runtime = Runtime(path)

    def run(segments):
        mask = torch.ones(len(segments), 1, dtype=torch.int64)
        return runtime.outputs(segments.unsqueeze(1).numpy(), mask.numpy())[0]

    return run


def implementations(files: dict[str, Path]) -> dict[str, tuple]:
    """Name -> function and its arguments except the device."""
    return {
        BASELINE: (plain, "float32"),
        "plain Conv1d, bf16": (plain, "bf16"),
        **{f"ours, {dtype}": (ours, dtype, False, False) for dtype in DTYPES},
        **{f"ours, {dtype}, optimized": (ours, dtype, True, False) for dtype in DTYPES},
        "ours, float32, compiled": (ours, "float32", False, True),
        **{name: (exported, str(path)) for name, path in files.items()},
        **{name: (peer, name) for name in PEERS},
    }


@torch.inference_mode()
def measure(function, arguments: tuple, segment_length: int, device: str) -> dict[int, tuple[float, float]]:
    """
    Per batch size, from the smallest: segments per second, and the peak memory in MB, of this process above that after
    imports, or of the GPU.
    """
    torch.manual_seed(0)
    before = resident_memory("VmRSS")
    reset_peak_memory()
    run, results = function(*arguments, device), {}
    dtype = DTYPES["bf16"] if "bf16" in arguments else torch.float32
    for size in BATCH_SIZES:
        segments = 0.1 * torch.randn(size, segment_length, dtype=dtype).to(device)

        def step(segments=segments):
            run(segments)
            if device != "cpu":
                torch.cuda.synchronize()

        step()  # compiles and allocates
        count, start = 0, time.perf_counter()
        while count == 0 or time.perf_counter() - start < SECONDS:
            step()
            count += 1
        speed = count * size / (time.perf_counter() - start)
        on_cpu = device == "cpu"
        memory = resident_memory("VmHWM") - before if on_cpu else torch.cuda.max_memory_allocated() / 2**20
        results[size] = speed, memory
    return results


@torch.inference_mode()
def convolution_limit(dtype: str) -> float:
    """GFLOP/s of a channels-last convolution whose feature maps stay in the cache."""
    channels, frames = 128, 2187
    x = torch.randn(1, channels, 1, frames, dtype=DTYPES[dtype]).to(memory_format=torch.channels_last)
    weight = torch.randn(channels, channels, 1, 3, dtype=DTYPES[dtype]).to(memory_format=torch.channels_last)
    times = []
    for _ in range(50):
        start = time.perf_counter()
        F.conv2d(x, weight, padding=(0, 1))
        times.append(time.perf_counter() - start)
    return 2 * 3 * channels**2 * frames / min(times) / 1e9


def convolution_gflop() -> float:
    """Multiplications and additions of the convolutions, in GFLOP per segment."""
    config = create_config(VARIANT)
    channels, frames, flop = [1, config.stem_channels, *config.block_channels], config.segment_length // 3, 0
    for i in range(len(channels) - 1):
        flop += 2 * 3 * channels[i] * channels[i + 1] * frames
        frames //= 3 if i > 0 else 1
    return flop / 1e9


def cold_start(*command: str) -> float:
    """Seconds of a whole process, the fastest of `ROUNDS`."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return min(times)


COLD_STARTS = {
    "import samplecnn_hf": "import samplecnn_hf",
    "runtime, one clip": "from samplecnn_hf.runtime import Runtime; import sys; Runtime(sys.argv[1])(sys.argv[2])",
    "pipeline, one clip": "from samplecnn_hf import SampleCNNAudioClassificationPipeline as P; import sys; "
    "P.from_pretrained(sys.argv[1])(sys.argv[2])",
}


def cold_starts(model: Path) -> dict[str, float]:
    import numpy as np
    import soundfile

    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.wav"
        soundfile.write(clip, 0.1 * np.random.default_rng(0).standard_normal(16000), 16000)
        return {name: cold_start("-c", code, str(model), str(clip)) for name, code in COLD_STARTS.items()}


def run_all(candidates: dict[str, tuple], segment_length: int, device: str) -> dict[str, dict]:
    """Median speed and memory per implementation and batch size."""
    values = {name: [] for name in candidates}
    for _ in range(ROUNDS):
        for name, (function, *arguments) in candidates.items():
            values[name].append(in_new_process(measure, function, arguments, segment_length, device))
    results = {}
    for name, rounds in values.items():
        speeds, memory = (
            {size: statistics.median(each[size][kind] for each in rounds) for size in BATCH_SIZES} for kind in (0, 1)
        )
        results[name] = {
            "segments_per_second": {size: round(speed, 2) for size, speed in speeds.items()},
            "peak_memory_mb": {size: round(peak) for size, peak in memory.items()},
        }
    return results


def add_ratios(results: dict[str, dict], limits: dict[str, float]):
    """
    Add the real-time factor, seconds of computation per second of audio, and the ratio to the baseline.

    Those of this package and its exported files, except int8, also get their fraction of the convolution limit in
    `limits`, segments per second by dtype.
    """
    config = create_config(VARIANT)
    seconds = config.segment_length / config.sampling_rate
    baseline = results[BASELINE]["segments_per_second"]
    for name, values in results.items():
        speeds = values["segments_per_second"]
        values["real_time_factor"] = {size: round(1 / speed / seconds, 5) for size, speed in speeds.items()}
        values["ratio_to_plain_float32"] = {size: round(speed / baseline[size], 2) for size, speed in speeds.items()}
        limit = next((limit for dtype, limit in limits.items() if dtype in name.replace(",", "").split()), None)
        if name.startswith(("ours", "runtime")) and limit is not None:
            values["fraction_of_limit"] = {size: round(speed / limit, 2) for size, speed in speeds.items()}


def export_all(model: Path, calibration: Path | None, folder: Path) -> dict[str, Path]:
    """Export the trained network in all formats, int8 only with recordings."""
    from samplecnn_hf.export import FORMATS, export_model

    files = {}
    for name, (format, dtype) in RUNTIMES.items():
        if dtype == "int8" and calibration is None:
            continue
        output = folder / f"{format}.{dtype}{FORMATS[format]}"
        recordings = calibration if dtype == "int8" else None
        files[name] = export_model(model, format=format, dtype=dtype, calibration=recordings, output=output)
    return files


def plot(results: dict, path: Path):
    """Draw the segments per second of each implementation, and the convolution limits."""
    names = list(results["cpu"])
    figure = Figure(figsize=(8, 0.42 * len(names) + 1.2), layout="constrained")
    axes = figure.subplots()
    for offset, size in enumerate(PLOTTED_SIZES):
        speeds = [results["cpu"][name]["segments_per_second"][str(size)] for name in names]
        bars = axes.barh([i + 0.4 * offset for i in range(len(names))], speeds, 0.38, label=f"batch {size}")
        axes.bar_label(bars, fmt="%.1f", padding=2, fontsize=7)
    for (dtype, limit), style in zip(results["convolution_limit"].items(), ("--", ":"), strict=True):
        axes.axvline(limit["segments_per_second"], color="gray", linestyle=style, label=f"convolution limit, {dtype}")
    axes.set(yticks=[i + 0.2 for i in range(len(names))], yticklabels=names)
    axes.set(xlabel=f"segments of {results['samples']:,} samples per second ({results['machine']})")
    axes.invert_yaxis()
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=130)


def main(argv: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path, help="folder of an exported model, for cold starts")
    parser.add_argument("--calibration", type=Path, help="folder of recordings for int8")
    parser.add_argument("--plot", type=Path, help="draw the results as a bar chart; measures nothing")
    args = parser.parse_args(argv)
    if args.plot:
        return plot(json.loads((RESULTS / "inference.json").read_text(encoding="utf-8")), args.plot)
    if args.model is None:
        parser.error("a model is required")
    config, seconds = create_config(VARIANT), cold_starts(args.model)
    limits = {dtype: in_new_process(convolution_limit, dtype) for dtype in DTYPES}
    gflop = convolution_gflop()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / VARIANT
        for part in untrained(VARIANT, NUM_LABELS):
            part.save_pretrained(model)
        candidates = implementations(export_all(model, args.calibration, Path(folder)))
        results = run_all(candidates, config.segment_length, "cpu")
        add_ratios(results, {dtype: limit / gflop for dtype, limit in limits.items()})
        gpu = "untested"
        if torch.cuda.is_available():
            on_gpu = {name: value for name, value in candidates.items() if value[0] is not exported}
            gpu = run_all(on_gpu, config.segment_length, "cuda")
    write_results(
        "inference",
        {
            "network": VARIANT,
            "samples": config.segment_length,
            "machine": f"{torch.get_num_threads()} threads of {os.cpu_count()}, {platform.machine()}, torch "
            f"{torch.__version__}",
            "gflop_per_segment": round(gflop, 3),
            "convolution_limit": {
                dtype: {"gflop_per_second": round(limit, 1), "segments_per_second": round(limit / gflop, 2)}
                for dtype, limit in limits.items()
            },
            "cpu": results,
            "gpu": gpu,
            "cold_start_seconds": {name: round(value, 3) for name, value in seconds.items()},
        },
    )


if __name__ == "__main__":
    main()
