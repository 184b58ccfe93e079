"""
Accuracy of a trained network in each precision: by this package, and exported to ONNX and OpenVINO files.

    python -m benchmarks.precision model_cards/samplecnn-arabic-speech-commands data/arabic_speech_commands

The network is scored on the test clips or, without any, on the validation clips; int8 is calibrated on training clips.
Writes benchmarks/results/precision.json.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.common import write_results
from samplecnn_hf.export import FORMATS, export_model
from samplecnn_hf.loading import load_classifier
from samplecnn_hf.runtime import Runtime
from training.data import load_source
from training.data.source import Clip

DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}  # of this package
FILES = {
    "onnxruntime, float32": ("onnx", "float32"),
    "onnxruntime, int8": ("onnx", "int8"),
    "OpenVINO, float32": ("openvino", "float32"),
    "OpenVINO, bf16": ("openvino", "bfloat16"),
    "OpenVINO, int8": ("openvino", "int8"),
}
CALIBRATION_CLIPS = 256


@torch.inference_mode()
def score_model(folder: Path, dtype: torch.dtype, clips: list[Clip]) -> dict:
    model, extractor = load_classifier(folder)
    model.optimize_for_inference(dtype)
    return {"accuracy": accuracy(clips, extractor, lambda x: model(torch.from_numpy(x)).logits[0].numpy())}


def score_file(folder: Path, format: str, dtype: str, calibration: Path, clips: list[Clip]) -> dict:
    with tempfile.TemporaryDirectory() as exported:
        output = Path(exported) / f"model{FORMATS[format]}"
        recordings = calibration if dtype == "int8" else None
        runtime = Runtime(export_model(folder, format=format, dtype=dtype, calibration=recordings, output=output))

        def classify(segments: np.ndarray) -> np.ndarray:
            return runtime.outputs(segments, np.ones(segments.shape[:2], np.int64))[0][0]

        megabytes = sum(path.stat().st_size for path in Path(exported).iterdir()) / 1e6
        return {"accuracy": accuracy(clips, runtime.segmenter, classify), "megabytes": round(megabytes, 2)}


def accuracy(clips: list[Clip], segmenter, classify: Callable[[np.ndarray], np.ndarray]) -> float:
    """Fraction of the clips whose label has the highest logit; `classify`: [1, segments, samples] -> [labels]."""
    correct = 0
    for clip in clips:
        segments = segmenter.segment(segmenter.to_waveform(clip.content()))
        logits = classify(segmenter.normalize(segments).astype(np.float32, copy=False)[None])
        correct += int(logits.argmax() == clip.labels[0])
    return correct / len(clips)


def main(argv: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a trained network")
    parser.add_argument("data_dir", help="folder of its data, as for --source folder")
    args = parser.parse_args(argv)
    source = load_source("folder", args.data_dir)
    if source.labels != load_classifier(args.model)[0].config.labels:
        parser.error(f"the labels of {args.data_dir} are not those of {args.model}")
    train, clips = source.splits["train"], source.splits[source.scored_split]
    calibration = np.linspace(0, len(train) - 1, min(CALIBRATION_CLIPS, len(train))).astype(int)
    with tempfile.TemporaryDirectory() as folder:
        for i in calibration:
            (Path(folder) / f"{i}{train[i].path.suffix}").symlink_to(train[i].path)
        scores = {f"ours, {name}": score_model(args.model, dtype, clips) for name, dtype in DTYPES.items()}
        scores |= {name: score_file(args.model, *form, Path(folder), clips) for name, form in FILES.items()}
    base = scores["ours, float32"]["accuracy"]
    for values in scores.values():
        values["points"] = round(100 * (values["accuracy"] - base), 2)
    write_results(
        "precision",
        {
            "model": args.model.name,
            "split": source.scored_split,
            "clips": len(clips),
            "calibration_clips": len(calibration),
            "scores": scores,
        },
    )


if __name__ == "__main__":
    main()
