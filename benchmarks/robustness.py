"""
Accuracy of trained networks on recordings that sound the same or nearly so: inverted polarity, less bandwidth.

    python -m benchmarks.robustness runs/arabic_phase model_cards/samplecnn-arabic-speech-commands \\
        --data_dir data/arabic_speech_commands

The networks are scored on the test clips or, without any, on the validation clips. Writes
benchmarks/results/robustness.json.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.signal import butter, sosfilt

from benchmarks.common import write_results
from samplecnn_hf.loading import load_classifier
from training.data import load_source
from training.data.source import Clip

ORDER = 4  # of the Butterworth filters

Change = Callable[[np.ndarray, float], np.ndarray]  # waveform (samples,), sampling rate in Hz -> waveform


def filtered(kind: str, frequency: float) -> Change:
    return lambda waveform, rate: sosfilt(butter(ORDER, frequency, kind, fs=rate, output="sos"), waveform)


CHANGES: dict[str, Change] = {
    "as recorded": lambda waveform, rate: waveform,
    "inverted polarity": lambda waveform, rate: -waveform,
    "only above 300 Hz": filtered("highpass", 300),
    "only below 3.4 kHz": filtered("lowpass", 3400),
}


@torch.inference_mode()
def accuracies(folder: Path, labels: list[str], clips: list[Clip]) -> dict[str, float]:
    """Fraction of the clips whose label has the highest score, for each change."""
    model, extractor = load_classifier(folder)
    if model.config.labels != labels:
        sys.exit(f"error: the labels of {folder} are not those of the data")
    model.optimize_for_inference()
    correct = dict.fromkeys(CHANGES, 0)
    for clip in clips:
        waveform = extractor.to_waveform(clip.content())
        for name, change in CHANGES.items():
            changed = change(waveform, extractor.sampling_rate).astype(np.float32)
            inputs = extractor(changed, extractor.sampling_rate, return_tensors="pt")
            correct[name] += int(model(**inputs).logits.argmax() == clip.labels[0])
    return {name: round(count / len(clips), 4) for name, count in correct.items()}


def main(argv: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", help="folders of trained networks")
    parser.add_argument("--data_dir", required=True, help="folder of their data, as for --source folder")
    args = parser.parse_args(argv)
    source = load_source("folder", args.data_dir)
    clips = source.splits[source.scored_split]
    scores = {model.name: accuracies(model, source.labels, clips) for model in args.models}
    write_results("robustness", {"split": source.scored_split, "clips": len(clips), "accuracy": scores})


if __name__ == "__main__":
    main()
