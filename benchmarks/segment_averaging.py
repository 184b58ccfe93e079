"""
Accuracy of cross-validated networks when a clip is the mean of consecutive or of overlapping segments.

    python -m benchmarks.segment_averaging runs/esc10_finetuned data/esc10   # writes results/segment_averaging.json

The folder of runs is one of training.cross_validate; each network is scored on the fold that it was not trained on.
"""

import argparse
import json
import statistics
from pathlib import Path

from accelerate import Accelerator

from benchmarks.common import write_results
from samplecnn_hf.loading import load_classifier
from training.data import load_source
from training.data.folds import FOLD_PREFIX
from training.data.prepared import prepare
from training.data.segments import evaluation_loader
from training.loop.evaluation import predict
from training.loop.hardware import prepare_cpu
from training.loop.metrics import compute_metrics

# Hop in segments, and whether an incomplete last segment is dropped.
SEGMENTS = {
    "consecutive, last one padded": (1, False),
    "consecutive, incomplete one dropped": (1, True),
    "hop of a half": (1 / 2, True),
    "hop of a quarter": (1 / 4, True),
}


def measure(run: Path, data_dir: str) -> dict[str, dict[str, float]]:
    """Accuracy and loss on the held-out fold of one network, for each entry of `SEGMENTS`."""
    model, extractor = load_classifier(run)
    source = load_source(FOLD_PREFIX + run.name.removeprefix("fold"), data_dir)
    clips = prepare(source, extractor.sampling_rate, splits=["validation"], quiet=True)["validation"]
    scores = {}
    for name, (hop, drop_last) in SEGMENTS.items():
        extractor.hop_length, extractor.drop_last = round(hop * extractor.segment_length), drop_last
        logits, targets, *_ = predict(model, evaluation_loader(clips, len(source.labels), extractor, 8), Accelerator())
        metrics = compute_metrics(logits, targets, source.multi_label)
        scores[name] = {"accuracy": metrics["accuracy"], "loss": metrics["loss"]}
    return scores


def main(argv: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="folder of training.cross_validate")
    parser.add_argument("data_dir", help="folder of the data")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    args = parser.parse_args(argv)
    prepare_cpu(1, args.threads)
    recipe = json.loads((args.runs / "results.json").read_text(encoding="utf-8"))["recipe"]["recipe"]
    folds = [measure(run, args.data_dir) for run in sorted(args.runs.glob("fold*[0-9]"))]
    means = {
        name: {metric: statistics.mean(fold[name][metric] for fold in folds) for metric in ("accuracy", "loss")}
        for name in SEGMENTS
    }
    write_results("segment_averaging", {"recipe": recipe, "folds": len(folds), "mean": means})


if __name__ == "__main__":
    main()
