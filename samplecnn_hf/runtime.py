"""
Run exported networks with numpy, soundfile, soxr and onnxruntime or OpenVINO, without torch and transformers.

    from samplecnn_hf.runtime import Runtime

    classify = Runtime("runs/quickstart")  # runs/quickstart/onnx/model.onnx, written by `samplecnn export`
    classify("clip.mp3", top_k=3)
"""

import importlib.util
import json
import os
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from .audio_samplecnn import SampleCNNSegmenter
from .events_samplecnn import check_top_k, minimum_scores, select_labels
from .files import model_digest

METADATA = ("labels", "problem_type", "thresholds", "extractor", "precision")  # of an exported file, each as JSON
SOURCE = "source"  # in the metadata, too: digest of the model's folder. Files of earlier versions have none.
OUTPUTS = ("logits", "segment_logits")
GROUP_SAMPLES = 2**17  # of the segments that are classified at a time
DEFAULT_FILES = ("onnx/model.onnx", "openvino/model.xml")  # in the folder of a model


class Runtime:
    """
    A trained classifier in a file that `samplecnn_hf.export` wrote.

    Args:
        model: ONNX (.onnx) or OpenVINO (.xml) file, or a model folder that holds `onnx/model.onnx` or
            `openvino/model.xml`.
        threads: Maximum number of CPU threads; by default all cores.

    Attributes:
        labels (`list[str]`): Names of the labels, in the order of the outputs.
        sampling_rate (`int`): Rate of the network in Hz.
        segment_length (`int`): Samples per segment.
        thresholds (`list[float]` or `None`): Tuned per-label thresholds.
        multi_label (`bool`): Whether a clip can have several labels.
        segmenter (`SampleCNNSegmenter`): Reads clips and cuts them into segments.

    Raises:
        ImportError: onnxruntime or openvino is not installed.
        OSError: There is no such file.
        ValueError: The file is damaged, was not written by `samplecnn_hf.export`, or is not that of the model in its
            folder, which was saved again.
    """

    def __init__(self, model: str | os.PathLike, threads: int | None = None):
        path = _find_file(Path(model))
        package, load = ("openvino", _load_openvino) if path.suffix == ".xml" else ("onnxruntime", _load_onnx)
        if importlib.util.find_spec(package) is None:
            raise ImportError(f"{path} needs {package}: pip install {package}")
        try:
            self._run, metadata = load(path, threads)
        except Exception as error:  # both libraries have errors of their own, derived from RuntimeError or Exception
            raise ValueError(f"cannot load {path}: {' '.join(str(error).split())[:300]}") from error
        if missing := [name for name in METADATA if name not in metadata]:
            raise ValueError(f"{path} has no {', '.join(missing)}: export the model with `samplecnn export`")
        folder = path.absolute().parent.parent  # of the model, if the file was not moved
        if metadata.get(SOURCE) and (digest := model_digest(folder)) and metadata[SOURCE] != digest:
            raise ValueError(f"{path} is that of an earlier model in {folder}: run `samplecnn export {folder}` again")
        self.labels = metadata["labels"]
        self.multi_label = metadata["problem_type"] == "multi_label_classification"
        self.thresholds = metadata["thresholds"]
        self.segmenter = SampleCNNSegmenter(**metadata["extractor"])

    @property
    def sampling_rate(self) -> int:
        return self.segmenter.sampling_rate

    @property
    def segment_length(self) -> int:
        return self.segmenter.segment_length

    def __call__(
        self, audio, sampling_rate: int | None = None, top_k: int | None = 5, threshold: float | str | None = None
    ) -> list[dict]:
        """
        Classify a clip of any length, as `SampleCNNAudioClassificationPipeline` does.

        Args:
            audio: Audio file (path, content or binary file object) or array, as in `SampleCNNFeatureExtractor`.
            sampling_rate: Rate of an array in Hz; by default the network's rate, with a warning once.
            top_k: Maximum number of labels, `None` for all.
            threshold: Minimum score of a label, or `"tuned"` for the tuned thresholds.

        Returns:
            `{"score": float, "label": str}`, from the highest score to the lowest.

        Raises:
            ValueError, TypeError, OSError: The audio is invalid, as in `SampleCNNFeatureExtractor`, or an argument is.
        """
        check_top_k(top_k)
        lowest = minimum_scores(threshold, self.thresholds, len(self.labels))
        logits = self.segment_logits(self.segmenter.to_blocks(audio, sampling_rate))
        scores = self.probabilities(logits).mean(0)
        if not np.isfinite(scores).all():
            raise ValueError("the network's output is not finite: damaged weights, or audio too loud")
        return select_labels(scores[None], self.labels, top_k, lowest)[0]

    def segment_logits(self, blocks: Iterable[np.ndarray]) -> np.ndarray:
        """
        Compute the logits of each segment of a waveform, in memory that does not grow with its length.

        Args:
            blocks: Blocks (samples,) of mono float32 at `sampling_rate`, see `segmenter.to_blocks`.

        Returns:
            Logits [segments, labels], float32.
        """
        segments = self.segmenter.segment_blocks(blocks)
        size = max(1, GROUP_SAMPLES // self.segment_length)
        return np.concatenate([self._logits(np.stack(group)) for group in _groups(segments, size)])

    def _logits(self, segments: np.ndarray) -> np.ndarray:
        segments = self.segmenter.normalize(segments)[None]
        return self.outputs(segments, np.ones(segments.shape[:2], np.int64))[1][0]

    def outputs(self, input_values: np.ndarray, attention_mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[batch, segments, samples] and mask [batch, segments] -> `logits` and `segment_logits` of the file."""
        return self._run({"input_values": input_values, "attention_mask": attention_mask})

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Softmax, or sigmoid for several labels per clip, of logits [..., labels], in float64."""
        logits = np.asarray(logits, np.float64)
        if self.multi_label:
            return np.exp(-np.logaddexp(0, -logits))
        exponentials = np.exp(logits - logits.max(-1, keepdims=True))
        return exponentials / exponentials.sum(-1, keepdims=True)


def _groups(items: Iterator, size: int) -> Iterator[list]:
    while group := list(islice(items, size)):
        yield group


def _find_file(model: Path) -> Path:
    if not model.is_dir():
        if not model.is_file():
            raise FileNotFoundError(f"there is no file {model}: export the model with `samplecnn export`")
        return model
    for name in DEFAULT_FILES:
        if (model / name).is_file():
            return model / name
    raise FileNotFoundError(f"{model} has no {' or '.join(DEFAULT_FILES)}: run `samplecnn export {model}`")


def _load_onnx(path: Path, threads: int | None):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map

    return partial(session.run, OUTPUTS), {
        name: json.loads(metadata[name]) for name in (*METADATA, SOURCE) if name in metadata
    }


def _load_openvino(path: Path, threads: int | None):
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    metadata = {
        name: json.loads(model.get_rt_info(["samplecnn", name]).astype(str))
        for name in (*METADATA, SOURCE)
        if model.has_rt_info(["samplecnn", name])
    }
    properties = {"INFERENCE_PRECISION_HINT": metadata.get("precision", "f32"), "PERFORMANCE_HINT": "LATENCY"}
    if threads is not None:
        properties["INFERENCE_NUM_THREADS"] = threads
    network = core.compile_model(model, "CPU", properties)

    def run(inputs: dict) -> list[np.ndarray]:
        results = network(inputs)
        return [results[name] for name in OUTPUTS]

    return run, metadata
