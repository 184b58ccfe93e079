"""
Export a trained classifier to ONNX, for onnxruntime in any language and in the browser.

    from samplecnn_hf.export import export_onnx

    export_onnx("runs/quickstart")  # runs/quickstart/onnx/model.onnx

The input is that of the model, `input_values` [batch, segments, samples], float32; batch and segments are dynamic,
samples is the extractor's `segment_length`. There is no `attention_mask`: run clips of different lengths one by one.
The outputs are those of `SampleCNNForAudioClassification`:

    logits          [batch, labels]            their softmax (or sigmoid) is the mean of the segments' probabilities
    segment_logits  [batch, segments, labels]  logits of the segments
"""

import contextlib
import copy
import importlib.util
import logging
import os
import warnings
from pathlib import Path

import torch

from .files import write_file
from .loading import load_classifier
from .modeling_samplecnn import SampleCNNForAudioClassification

REQUIRED = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-4  # maximum absolute difference of probabilities between onnxruntime and PyTorch


def export_onnx(model_id: str | os.PathLike, output: str | os.PathLike | None = None) -> Path:
    """
    Export a trained classifier to one ONNX file with float32 weights, and compare its outputs with PyTorch.

    Args:
        model_id: Folder of a model with its feature extractor, or a Hub id.
        output: Path of the file; by default `onnx/model.onnx` in the folder. Required for a Hub id.

    Returns:
        The path of the file.

    Raises:
        ImportError: The extra `onnx` is not installed.
        ValueError: `output` is missing or not a file.
        OSError: The model cannot be loaded (see `load_classifier`), or the file cannot be written.
        RuntimeError: The probabilities of onnxruntime differ from PyTorch's. No file is written.
    """
    check_requirements()
    output = _output_file(model_id, output)
    model, extractor = load_classifier(model_id)
    onnx_model = _export(model, extractor.segment_length)
    _compare(onnx_model, model, extractor.segment_length)
    output.parent.mkdir(parents=True, exist_ok=True)
    return write_file(output, onnx_model)


def check_requirements():
    """
    Check that the extra `onnx` is installed.

    Raises:
        ImportError: A package is missing.
    """
    missing = [name for name in REQUIRED if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(f"ONNX export needs {', '.join(missing)}: pip install 'samplecnn-hf[onnx]'")


def _output_file(model_id, output) -> Path:
    if output is None:
        if not Path(model_id).is_dir():
            raise ValueError(f"{model_id} is not a local folder: give the file to write, output=...")
        folder = Path(model_id) / "onnx"
        if not Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(model_id)):
            raise ValueError(f"{folder} is a link to outside of {model_id}: remove it")
        return folder / "model.onnx"
    if Path(output).is_dir():
        raise ValueError(f"{output} is a folder: give the file to write, such as {Path(output) / 'model.onnx'}")
    return Path(output)


def _export(model: SampleCNNForAudioClassification, segment_length: int) -> bytes:
    model = copy.deepcopy(model)
    model.config.return_dict = False
    with _quiet():
        program = torch.onnx.export(
            model,
            (torch.zeros(2, 3, segment_length),),
            input_names=["input_values"],
            output_names=["logits", "segment_logits"],
            dynamic_shapes=({0: torch.export.Dim("batch"), 1: torch.export.Dim("segments")},),
            custom_translation_table={torch.ops.aten.log_sigmoid.default: _log_sigmoid},
            dynamo=True,
            verbose=False,
        )
    model_proto = program.model_proto
    for node in model_proto.graph.node:  # source lines, which contain local paths
        node.ClearField("metadata_props")
    return model_proto.SerializeToString()


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


@torch.inference_mode()
def _compare(onnx_model: bytes, model: SampleCNNForAudioClassification, segment_length: int):
    """Raise `RuntimeError` if onnxruntime and PyTorch differ, on batch sizes and lengths that were not traced."""
    import onnxruntime

    session = onnxruntime.InferenceSession(onnx_model, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    for batch, segments in ((1, 1), (3, 2)):
        input_values = 0.1 * torch.randn(batch, segments, segment_length, generator=generator)
        ours = model(input_values, return_dict=False)
        exported = session.run(["logits", "segment_logits"], {"input_values": input_values.numpy()})
        for expected, logits in zip(ours, map(torch.from_numpy, exported), strict=True):
            probabilities = [x.sigmoid() if model.config.multi_label else x.softmax(-1) for x in (expected, logits)]
            difference = (probabilities[0] - probabilities[1]).abs().max().item()
            if not difference <= TOLERANCE:  # also true for NaN
                raise RuntimeError(
                    f"the probabilities of the exported network differ from PyTorch's by {difference:.2g}, so it was "
                    "not written: try other versions of torch and onnxruntime"
                )
