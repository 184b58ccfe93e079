"""The networks behind `samplecnn classify` and `embed`, as functions from files to rows."""

import importlib.util
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from ..files import check_location
from .inputs import is_url, open_audio

Answer = Callable[[list[str]], Iterator[list[dict]]]
RUNTIME_FILES = 32  # for which the start of PyTorch takes longer than the files
GPU_BATCH_SIZE = 32  # files


def has_runtime(model: str) -> bool:
    """Return whether the model has been exported, and onnxruntime is installed."""
    return (Path(model) / "onnx" / "model.onnx").is_file() and importlib.util.find_spec("onnxruntime") is not None


def choose_engine(model: str, files: list[str], needs_torch: bool) -> str:
    """Return "runtime", which starts in less than a second, for a few files and an exported model, else "torch"."""
    if needs_torch or len(files) > RUNTIME_FILES or any(map(is_url, files)) or not has_runtime(model):
        return "torch"
    return "runtime"


def classify_with_runtime(model: str, top_k: int, threshold: float | str | None) -> Answer:
    """Classify with `samplecnn_hf.runtime`, without torch or transformers."""
    from ..events_samplecnn import minimum_scores
    from ..runtime import Runtime

    classifier = Runtime(model)
    minimum_scores(threshold, classifier.thresholds, len(classifier.labels))  # raises now, not for each file

    def answer(files: list[str]) -> Iterator[list[dict]]:
        for file in files:
            try:
                scores = classifier(open_audio(file), top_k=top_k, threshold=threshold)
                yield list(_rows(file, scores))
            except (OSError, ValueError) as error:
                yield failed(file, error)

    return answer


def _check_device(device: str | None):
    import torch

    if device is not None and torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"--device {device}: there is no CUDA device, or PyTorch was built without CUDA")


def load_pipeline(model: str, device: str | None):
    """Load the pipeline of a model; errors are raised as an `OSError` of one line."""
    check_location(model)  # a mistyped name fails before the imports, which take seconds
    from ..loading import loading
    from ..pipeline_samplecnn import SampleCNNAudioClassificationPipeline
    from .hub import hide_loading

    hide_loading()
    _check_device(device)
    with loading(model):
        return SampleCNNAudioClassificationPipeline.from_pretrained(model, device=device)


def classify_with_torch(model: str, device: str | None, **options) -> Answer:
    """Classify with the pipeline, to which `options` are passed."""
    classifier = load_pipeline(model, device)
    batch_size = 1 if classifier.device.type == "cpu" else GPU_BATCH_SIZE

    def answer(files: list[str]) -> Iterator[list[dict]]:
        inputs = (open_audio(file) for file in files)  # the pipeline is lazy only for generators
        results = classifier(inputs, batch_size=batch_size, on_error="return", **options)
        for file, result in zip(files, results, strict=True):
            yield failed(file, result["error"]) if "error" in result else list(_rows(file, result))

    return answer


def _rows(file: str, result: list | dict) -> Iterator[dict]:
    """Yield the scores of a clip, or the events or the windows' scores of its timeline."""
    if isinstance(result, list):
        yield from ({"file": file, "label": item["label"], "score": item["score"]} for item in result)
        return
    chunks = result["events"] if "events" in result else result["chunks"]
    for chunk in chunks:
        start, end = chunk["timestamp"]
        for item in chunk.get("scores", [chunk]):
            yield {"file": file, "start": start, "end": end, "label": item["label"], "score": item["score"]}


def embed_with_torch(model: str, device: str | None, timestamps: bool, hop_length_s: float | None) -> Answer:
    """Compute the embedding of each clip, the mean over its segments, or with `timestamps` of each window."""
    check_location(model)
    import torch

    from ..events_samplecnn import timeline_extractor, window_timestamps
    from ..loading import load_encoder
    from ..windows_samplecnn import OverlappingWindows
    from .hub import hide_loading

    hide_loading()
    _check_device(device)
    encoder, extractor = load_encoder(model)
    if timestamps:
        extractor = timeline_extractor(extractor, hop_length_s)
    if device is None:
        device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    network = OverlappingWindows(encoder.to(device), extractor)

    def answer(files: list[str]) -> Iterator[list[dict]]:
        for file in files:
            try:
                embeddings, num_samples = _embed(network, extractor, file)
            except (OSError, ValueError) as error:
                yield failed(file, error)
                continue
            if not timestamps:
                yield [{"file": file, "embedding": embeddings.mean(0).tolist()}]
                continue
            times = window_timestamps(len(embeddings), extractor, num_samples).tolist()
            yield [
                {"file": file, "start": start, "end": end, "embedding": embedding}
                for (start, end), embedding in zip(times, embeddings.tolist(), strict=True)
            ]

    return answer


def _embed(network, extractor, file: str):
    """Embeddings [segments, features] of a file on the CPU, and its length in samples at the model's rate."""
    import numpy as np
    import torch

    from ..pipeline_samplecnn import GROUP_SAMPLES, download

    num_samples = 0

    def blocks():
        nonlocal num_samples
        for block in extractor.to_blocks(download(file) if is_url(file) else open_audio(file)):
            num_samples += len(block)
            yield block

    embeddings, segments = [], extractor.segment_blocks(blocks())
    while group := list(islice(segments, max(1, GROUP_SAMPLES // extractor.segment_length))):
        windows = torch.from_numpy(extractor.normalize(np.stack(group))).to(network.model.device)
        with torch.inference_mode():
            embeddings.append(network.embed(windows).cpu())
    return torch.cat(embeddings), num_samples


def failed(file: str, error: Exception | str) -> list[dict]:
    """The row of a file that cannot be read."""
    return [{"file": file, "error": str(error)}]
