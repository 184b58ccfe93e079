"""Static quantization of an exported network to 8-bit integers and its accuracy, for `samplecnn_hf.export`."""

from itertools import islice
from pathlib import Path

import numpy as np

from .files import AUDIO_SUFFIXES, is_audio
from .runtime import Runtime

MAX_CLIPS, MAX_SEGMENTS_PER_CLIP = 256, 4
GROUP = 8  # segments


class CalibrationClips:
    """Segments of the recordings in a folder, in the way of onnxruntime's `CalibrationDataReader`."""

    def __init__(self, runtime: Runtime, folder: Path):
        files = sorted(filter(is_audio, folder.rglob("*")))
        if not files:
            raise ValueError(f"there are no audio files ({', '.join(AUDIO_SUFFIXES)}) in {folder}")
        self.files = files[:: -(-len(files) // MAX_CLIPS)]  # spread over all subfolders
        self.clips = [self._segments(runtime, file) for file in self.files]
        self.rewind()

    def _segments(self, runtime: Runtime, file: Path) -> np.ndarray:
        segmenter = runtime.segmenter
        segments = segmenter.segment_blocks(segmenter.to_blocks(file))
        segments = np.stack(list(islice(segments, MAX_SEGMENTS_PER_CLIP)))
        return segmenter.normalize(segments)

    def rewind(self):
        segments = np.concatenate(self.clips)
        self.groups = iter([segments[i : i + GROUP] for i in range(0, len(segments), GROUP)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        group = next(self.groups, None)
        return None if group is None else _inputs(group)


def _inputs(segments: np.ndarray) -> dict[str, np.ndarray]:
    return {"input_values": segments[None], "attention_mask": np.ones((1, len(segments)), np.int64)}


def quantize(path: Path, clips: CalibrationClips):
    """
    Replace a float32 ONNX file by one with 8-bit convolutions.

    Weights have a scale per output channel, feature maps one per layer. The first convolution, of the waveform itself,
    and the dense layers are not quantized; they are a hundredth of the work.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared, quantized = path.with_suffix(".prepared.onnx"), path.with_suffix(".quantized.onnx")
    quant_pre_process(path, prepared, skip_symbolic_shape=True)  # folds batch norms
    quantize_static(
        prepared,
        quantized,
        clips,
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv"],
        nodes_to_exclude=[_first_convolution(prepared)],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
        extra_options={"CalibMovingAverage": True},  # one loud clip does not determine a scale
    )
    _copy_metadata(path, quantized)
    quantized.replace(path)


def _first_convolution(path: Path) -> str:
    import onnx

    return next(node.name for node in onnx.load(path).graph.node if node.op_type == "Conv")


def _copy_metadata(source: Path, target: Path):
    import onnx

    model, properties = onnx.load(target), onnx.load(source).metadata_props
    del model.metadata_props[:]
    model.metadata_props.extend(properties)
    onnx.save(model, target)


def quantization_report(original: Runtime, quantized: Runtime, clips: CalibrationClips) -> dict:
    """
    Compare two runtimes of a network on clips.

    Returns:
        The numbers of clips and segments; the share of clips with the same top label; the largest and the mean
        difference of their probabilities; and, if all subfolders have names of labels, the accuracies.
    """
    expected, scores = (
        np.stack([runtime.probabilities(runtime.outputs(*_inputs(clip).values())[0][0]) for clip in clips.clips])
        for runtime in (original, quantized)
    )
    difference = np.abs(scores - expected).max(1)
    report = {
        "clips": len(clips.clips),
        "segments": sum(map(len, clips.clips)),
        "same_top_label": float((scores.argmax(1) == expected.argmax(1)).mean()),
        "max_probability_difference": float(difference.max()),
        "mean_probability_difference": float(difference.mean()),
    }
    names = [file.parent.name for file in clips.files]
    if not original.multi_label and set(names) <= set(original.labels):
        targets = np.array([original.labels.index(name) for name in names])
        report["accuracy"] = {
            "float32": float((expected.argmax(1) == targets).mean()),
            "int8": float((scores.argmax(1) == targets).mean()),
        }
    return report
