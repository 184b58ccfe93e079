"""
Export a trained classifier to ONNX or OpenVINO: for `samplecnn_hf.runtime`, any other language and the browser.

    from samplecnn_hf.export import export_model

    export_model("runs/quickstart")  # runs/quickstart/onnx/model.onnx
    export_model("runs/quickstart", format="openvino", dtype="int8", calibration="MY_SOUNDS")

The inputs are those of the model. Batch and segments are dynamic, samples is the extractor's `segment_length`:

    input_values    [batch, segments, samples] float32
    attention_mask  [batch, segments] int64    1 for the segments of a clip, 0 for padding

So are the outputs:

    logits          [batch, labels]            their softmax (or sigmoid) is the mean of the segments' probabilities
    segment_logits  [batch, segments, labels]  logits of the segments

The metadata hold `labels`, `problem_type`, `thresholds`, the options of the `extractor` (with `sampling_rate` and
`segment_length`) and the `precision` of the computation, each as JSON.
"""

import contextlib
import copy
import importlib.util
import inspect
import json
import logging
import math
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from .audio_samplecnn import SampleCNNSegmenter
from .files import model_digest, write_file
from .loading import load_classifier
from .modeling_samplecnn import SampleCNNForAudioClassification
from .runtime import SOURCE, Runtime

FORMATS = {"onnx": ".onnx", "openvino": ".xml"}
DTYPES = ("float32", "bfloat16", "int8")
REQUIRED = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-4  # maximum absolute difference of probabilities between onnxruntime and PyTorch


def export_model(
    model_id: str | os.PathLike,
    *,
    format: str = "onnx",
    dtype: str = "float32",
    calibration: str | os.PathLike | None = None,
    output: str | os.PathLike | None = None,
) -> Path:
    """
    Export a trained classifier, and check its outputs before the file is written.

    Those of a float32 file are compared with PyTorch's, those of other types must be finite.

    Args:
        model_id: Folder of a model with its feature extractor, or a Hub id.
        format: `"onnx"` or `"openvino"`.
        dtype: `"float32"`; `"bfloat16"` (OpenVINO only), which is computed on processors that have it; or `"int8"`:
            8-bit weights and activations, scaled per channel and for recordings like those of `calibration`; what is
            not quantized is bfloat16 in OpenVINO files.
        calibration: Folder of audio files for `dtype="int8"`, searched with its subfolders. The agreement with float32
            on them, and the accuracy if the subfolders have the names of labels, are written beside the file as JSON.
        output: Path of the file; by default `onnx/model.onnx` or `openvino/model.xml` in the folder, with
            `model.bfloat16` or `model.int8` for other types. Required for a Hub id.

    Returns:
        The path of the file.

    Raises:
        ImportError: The extra `onnx` (or `openvino`) is not installed.
        ValueError: An argument is invalid.
        OSError: The model cannot be loaded (see `load_classifier`), or a file cannot be read or written.
        RuntimeError: The probabilities of a float32 file differ from PyTorch's, or others are not finite. No file is
            written.
    """
    _check_arguments(format, dtype, calibration)
    check_requirements(format)
    output = _output_file(model_id, output, format, dtype)
    model, extractor = load_classifier(model_id)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / output.with_suffix(".onnx").name
        precision = "bf16" if format == "openvino" and dtype != "float32" else "f32"  # what int8 leaves, too
        metadata = _metadata(model, extractor, precision) | {SOURCE: json.dumps(model_digest(model_id))}
        path.write_bytes(_export(model, extractor.segment_length, metadata))
        _compare(Runtime(path), model)
        if dtype == "int8":
            from .quantization import CalibrationClips, quantization_report, quantize

            original = Runtime(path)
            clips = CalibrationClips(original, Path(calibration))
            quantize(path, clips)
        if format == "openvino":
            path = _convert_to_openvino(path, metadata)
        if (format, dtype) != ("onnx", "float32"):
            _compare(Runtime(path), model, tolerance=TOLERANCE if dtype == "float32" else math.inf)
        output.parent.mkdir(parents=True, exist_ok=True)
        if dtype == "int8":
            report = quantization_report(original, Runtime(path), clips)
            write_file(output.with_suffix(".json"), json.dumps(report, indent=2) + "\n")
        if format == "openvino":
            output.unlink(missing_ok=True)  # if interrupted here, there is no model instead of one with other weights
            write_file(output.with_suffix(".bin"), path.with_suffix(".bin").read_bytes())
        return write_file(output, path.read_bytes())


def _check_arguments(format: str, dtype: str, calibration):
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}; got {format!r}")
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}; got {dtype!r}")
    if (format, dtype) == ("onnx", "bfloat16"):
        raise ValueError("onnxruntime does not compute bfloat16 on a CPU: export to OpenVINO")
    if (dtype == "int8") != (calibration is not None):
        raise ValueError("int8, and no other dtype, needs `calibration`: a folder of recordings")
    if calibration is not None and not Path(calibration).is_dir():
        raise ValueError(f"there is no folder {calibration}: `calibration` must be a folder of recordings")


def _metadata(model: SampleCNNForAudioClassification, extractor, precision: str) -> dict[str, str]:
    options = inspect.signature(SampleCNNSegmenter).parameters
    metadata = {
        "labels": model.config.labels,
        "problem_type": model.config.problem_type,
        "thresholds": model.config.thresholds,
        "extractor": {name: getattr(extractor, name) for name in options},
        "precision": precision,
    }
    return {name: json.dumps(value) for name, value in metadata.items()}


def check_requirements(format: str = "onnx"):
    """
    Check that the extra `onnx` is installed, and `openvino` for that format.

    Raises:
        ImportError: A package is missing.
    """
    required = (*REQUIRED, "openvino") if format == "openvino" else REQUIRED
    if missing := [name for name in required if importlib.util.find_spec(name) is None]:
        extra = "openvino" if format == "openvino" else "onnx"
        raise ImportError(f"the export needs {', '.join(missing)}: pip install 'samplecnn-hf[{extra}]'")


def _output_file(model_id, output, format: str, dtype: str) -> Path:
    suffix = FORMATS[format]
    if output is None:
        if not Path(model_id).is_dir():
            raise ValueError(f"{model_id} is not a local folder: give the file to write, output=...")
        folder = Path(model_id) / format
        if not Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(model_id)):
            raise ValueError(f"{folder} is a link to outside of {model_id}: remove it")
        return folder / ("model" + ("" if dtype == "float32" else f".{dtype}") + suffix)
    if Path(output).is_dir():
        raise ValueError(f"{output} is a folder: give the file to write, such as {Path(output) / f'model{suffix}'}")
    if Path(output).suffix != suffix:
        raise ValueError(f"{output} must end in {suffix}")
    return Path(output)


def _export(model: SampleCNNForAudioClassification, segment_length: int, metadata: dict[str, str]) -> bytes:
    batch, segments = torch.export.Dim("batch"), torch.export.Dim("segments")
    with _quiet():
        program = torch.onnx.export(
            _Logits(copy.deepcopy(model)),
            (torch.zeros(2, 3, segment_length), torch.ones(2, 3, dtype=torch.int64)),
            input_names=["input_values", "attention_mask"],
            output_names=["logits", "segment_logits"],
            dynamic_shapes=({0: batch, 1: segments}, {0: batch, 1: segments}),
            custom_translation_table={torch.ops.aten.log_sigmoid.default: _log_sigmoid},
            dynamo=True,
            verbose=False,
        )
    model_proto = program.model_proto
    for node in model_proto.graph.node:  # source lines, which contain local paths
        node.ClearField("metadata_props")
    for name, value in metadata.items():
        model_proto.metadata_props.add(key=name, value=value)
    return model_proto.SerializeToString()


class _Logits(nn.Module):
    """The outputs of an exported file."""

    def __init__(self, model: SampleCNNForAudioClassification):
        super().__init__()
        self.model = model

    def forward(self, input_values: torch.Tensor, attention_mask: torch.Tensor):
        outputs = self.model(input_values, attention_mask=attention_mask, return_dict=True)
        return outputs.logits, outputs.segment_logits


def _log_sigmoid(x):
    """Replaces the exporter's log(sigmoid(x)), which is inexact or infinite for large negative x."""
    from onnxscript import opset18 as op

    return op.Neg(op.Softplus(op.Neg(x)))


@contextlib.contextmanager
def _quiet():
    """Suppress warnings of torch.onnx about deprecations and optional libraries."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _convert_to_openvino(path: Path, metadata: dict[str, str]) -> Path:
    import openvino

    model = openvino.convert_model(path)
    for name, value in metadata.items():
        model.set_rt_info(value, ["samplecnn", name])
    openvino.save_model(model, path.with_suffix(".xml"), compress_to_fp16=False)
    return path.with_suffix(".xml")


@torch.inference_mode()
def _compare(runtime: Runtime, model: SampleCNNForAudioClassification, tolerance: float = TOLERANCE):
    """Raise `RuntimeError` if the outputs differ from PyTorch's, on batch sizes and lengths that were not traced."""
    generator = torch.Generator().manual_seed(0)
    for batch, segments in ((1, 1), (3, 2)):
        input_values = 0.1 * torch.randn(batch, segments, runtime.segment_length, generator=generator)
        mask = torch.ones(batch, segments, dtype=torch.int64)
        mask[1:, -1] = 0
        ours = _Logits(model)(input_values, mask)
        exported = runtime.outputs(input_values.numpy(), mask.numpy())
        for expected, logits in zip(ours, exported, strict=True):
            expected = runtime.probabilities(expected.numpy())
            difference = np.abs(runtime.probabilities(logits) - expected).max()
            if not difference <= tolerance:  # also true for NaN
                raise RuntimeError(
                    f"the probabilities of the exported network differ from PyTorch's by {difference:.2g}, so it was "
                    "not written: try other versions of torch and onnxruntime"
                )
