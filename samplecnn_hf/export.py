"""
A trained network as one ONNX file, for onnxruntime in any language and for the browser.

    from samplecnn_hf.export import export_onnx

    export_onnx("runs/quickstart")  # runs/quickstart/onnx/model.onnx

It hears what the feature extractor gives, `input_values` [batch, segments, samples], float32; batch and segments are
free, samples are the extractor's `segment_length`. There is no `attention_mask`: clips of different lengths are run
one by one. It answers as `SampleCNNForAudioClassification` does:

    logits          [batch, labels]            softmax (or sigmoid) of them is the mean of the segments' probabilities
    segment_logits  [batch, segments, labels]  the same before averaging
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
TOLERANCE = 1e-4  # of probabilities, against PyTorch


def export_onnx(model_id: str | os.PathLike, output: str | os.PathLike | None = None) -> Path:
    """
    Write a trained classifier as an ONNX file that answers as PyTorch does; see the top of this file.

    Args:
        model_id: a folder with the model and its feature extractor, or a Hub id.
        output: the file to write, `onnx/model.onnx` in the model's folder by default. It is required for a Hub id.

    Returns:
        The file's path. It holds the weights, too, in float32.

    Raises:
        `ImportError` where the extra `onnx` is not installed; `ValueError` where there is no place to write to;
        `OSError` where the model cannot be loaded (see `load_classifier`) or the file cannot be written;
        `RuntimeError` where onnxruntime gives other probabilities than PyTorch. Nothing is written then.
    """
    check_requirements()
    output = _output_file(model_id, output)
    model, extractor = load_classifier(model_id)
    onnx_model = _export(model, extractor.segment_length)
    _compare(onnx_model, model, extractor.segment_length)
    output.parent.mkdir(parents=True, exist_ok=True)
    return write_file(output, onnx_model)


def check_requirements():
    """Raise `ImportError` where the extra `onnx` is not installed."""
    missing = [name for name in REQUIRED if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(f"ONNX export needs {', '.join(missing)}: pip install 'samplecnn-hf[onnx]'")


def _output_file(model_id, output) -> Path:
    if output is None:
        if not Path(model_id).is_dir():
            raise ValueError(f"{model_id} is no folder here: say with output=... which file to write")
        folder = Path(model_id) / "onnx"
        if not Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(model_id)):
            raise ValueError(f"{folder} is a link that leads out of {model_id}: remove it")
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
    for node in model_proto.graph.node:  # the lines of code it comes from, with paths on this machine
        node.ClearField("metadata_props")
    return model_proto.SerializeToString()


def _log_sigmoid(x):
    """The exporter's own, log(sigmoid(x)), is inexact for large negative x, and then infinite."""
    from onnxscript import opset18 as op

    return op.Neg(op.Softplus(op.Neg(x)))


@contextlib.contextmanager
def _quiet():
    """Without what torch.onnx says about its own future and about libraries that this export does not need."""
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
    """Raise `RuntimeError` unless onnxruntime answers as PyTorch, for numbers of clips and segments not traced."""
    import onnxruntime

    session = onnxruntime.InferenceSession(onnx_model, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    for batch, segments in ((1, 1), (3, 2)):
        input_values = 0.1 * torch.randn(batch, segments, segment_length, generator=generator)
        ours = model(input_values, return_dict=False)
        theirs = session.run(["logits", "segment_logits"], {"input_values": input_values.numpy()})
        for expected, logits in zip(ours, map(torch.from_numpy, theirs), strict=True):
            probabilities = [x.sigmoid() if model.config.multi_label else x.softmax(-1) for x in (expected, logits)]
            difference = (probabilities[0] - probabilities[1]).abs().max().item()
            if not difference <= TOLERANCE:  # NaN is no agreement
                raise RuntimeError(
                    f"the exported network's probabilities differ from PyTorch's by {difference:.2g}, and were not "
                    "written: try other versions of torch and onnxruntime"
                )
