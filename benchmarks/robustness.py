"""
Accuracy of trained networks on recordings that sound the same or nearly so: inverted polarity, less bandwidth.

    python -m benchmarks.robustness runs/arabic_phase model_cards/samplecnn-arabic-speech-commands \\
        --data_dir data/arabic_speech_commands

The networks are scored on the test clips or, without any, on the validation clips. Writes
benchmarks/results/robustness.json.
"""

import argparse
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
def accuracy(folder: Path, clips: list[Clip], change: Change) -> float:
    """Fraction of the changed clips whose label has the highest score."""
    model, extractor = load_classifier(folder)
    model.optimize_for_inference()
    correct = 0
    for clip in clips:
        waveform = change(extractor.to_waveform(clip.content()), extractor.sampling_rate).astype(np.float32)
        inputs = extractor(waveform, extractor.sampling_rate, return_tensors="pt")
        correct += int(model(**inputs).logits.argmax() == clip.labels[0])
    return correct / len(clips)


def main(argv: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", help="folders of trained networks")
    parser.add_argument("--data_dir", required=True, help="folder of their data, as for --source folder")
    args = parser.parse_args(argv)
    source = load_source("folder", args.data_dir)
    clips = source.splits[source.scored_split]
    scores = {
        model.name: {name: round(accuracy(model, clips, change), 4) for name, change in CHANGES.items()}
        for model in args.models
    }
    write_results("robustness", {"split": source.scored_split, "clips": len(clips), "accuracy": scores})


if __name__ == "__main__":
    main()
