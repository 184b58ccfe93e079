"""
How well networks trained on synthetic voices know words said by people: one ingredient of the training after another.

    python -m benchmarks.spoken_words "espeak-ng" --synthetic data/espeak --recordings data/speech_commands_v0.02
    python -m benchmarks.spoken_words --plot docs/images/spoken_words.png

Each run trains on about `--num_clips` clips in all, keeps the weights of the last epoch, scores all recorded clips of
the words, and adds a row to benchmarks/results/spoken_words.json. No run trains on the recordings, or chooses anything
by them. Unknown options are those of training/train.py.
"""

import argparse
import json
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from matplotlib.figure import Figure

from samplecnn_hf import SampleCNNFeatureExtractor, SampleCNNForAudioClassification
from samplecnn_hf.files import write_file
from samplecnn_hf.loading import load_classifier
from training.data import load_source
from training.data.prepared import prepare
from training.data.segments import TrainingSegments, evaluation_loader
from training.data.source import Clip, Source
from training.data.sources.combined import add_classes, add_training_clips
from training.data.sources.folder import read_class_folders
from training.loop.auxiliary import reestimate_statistics
from training.loop.evaluation import predict
from training.loop.run import create_accelerator, train
from training.recipe import Recipe, parse_recipe, public_path

RESULTS = Path(__file__).parent / "results" / "spoken_words.json"
TEN_WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")


def main(argv: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", help="of the row")
    parser.add_argument("--synthetic", nargs="+", type=Path, help="folders of the same words, <word>/*.wav")
    parser.add_argument("--recordings", type=Path, help="folder of words said by people, <word>/*.wav")
    parser.add_argument("--further", type=Path, help="folder of other recordings, whose classes are trained as well")
    parser.add_argument("--background", type=Path, help="folder of noise, *.wav (default: colored noise)")
    parser.add_argument("--num_clips", type=int, default=26_000, help="default: %(default)s")
    parser.add_argument("--plot", type=Path, help="draw the rows as a bar chart; trains nothing")
    args, recipe_options = parser.parse_known_args(argv)
    if args.plot:
        return plot(read_rows(), args.plot)
    if None in (args.name, args.synthetic, args.recordings):
        parser.error("a name, --synthetic and --recordings are required")
    words = map(public_path, sys.argv[1:] if argv is None else argv)
    row = {"name": args.name, "command": shlex.join(["python", "-m", "benchmarks.spoken_words", *words])}
    row |= run(args, recipe_options)
    rows = [other for other in read_rows() if other["name"] != args.name] + [row]
    write_file(RESULTS, json.dumps(rows, indent=1) + "\n")
    print(json.dumps({key: value for key, value in row.items() if not isinstance(value, dict)}))


def run(args: argparse.Namespace, recipe_options: list[str]) -> dict:
    """Train and score one network."""
    source = load_voices(args)
    num_epochs = max(1, round(args.num_clips / len(source.splits["train"])))
    options = {"data_dir": args.synthetic[0], "keep": "last", "num_epochs": num_epochs, "resume": "true"}
    recipe = parse_recipe(
        [word for name, value in options.items() for word in (f"--{name}", str(value))] + recipe_options
    )
    started = time.perf_counter()
    train(recipe, source)
    seconds = time.perf_counter() - started

    model, extractor = load_classifier(recipe.output_dir)
    row = {"train_clips": len(source.splits["train"]), "epochs": num_epochs, "seconds": round(seconds)}
    row |= score(model, extractor, args.recordings, recipe)
    if args.further:
        adapt_statistics(model, extractor, load_source("folder", args.further), recipe)
        row["statistics_of_recordings"] = score(model, extractor, args.recordings, recipe)
    return row


def load_voices(args: argparse.Namespace) -> Source:
    """The synthetic clips, with the further classes; not as auxiliary ones, so that training keeps its statistics."""
    first, *others = (load_source("folder", folder) for folder in args.synthetic)
    source = add_training_clips(first, *others)
    if args.further:
        source = add_classes(source, load_source("folder", args.further))
    noise = tuple(sorted(args.background.absolute().glob("*.wav"))) if args.background else ()
    return replace(source, background_noise=noise, num_auxiliary=0)


def score(
    model: SampleCNNForAudioClassification, extractor: SampleCNNFeatureExtractor, folder: Path, recipe: Recipe
) -> dict:
    """Accuracy on the recorded words among all words that are not further classes, and on and among `TEN_WORDS`."""
    labels = model.config.labels
    words = [i for i, label in enumerate(labels) if "/" not in label]
    clips = [Clip(path, (labels.index(name),)) for path, name in read_class_folders(folder.absolute())]
    people = Source(
        "recordings", folder.absolute(), labels, "single_label_classification", {"test": clips}, "accuracy"
    )
    prepared = prepare(people, extractor.sampling_rate, recipe.cache_dir, quiet=True)["test"]
    accelerator = create_accelerator(recipe)
    loader = accelerator.prepare(evaluation_loader(prepared, len(labels), extractor, recipe.eval_batch_size))
    predictions = predict(model, loader, accelerator)

    targets = predictions.targets.argmax(1)
    correct = accuracy_among(words, predictions.logits, targets)
    ten = [labels.index(word) for word in TEN_WORDS]
    said = torch.isin(targets, torch.tensor(ten))
    per_word = {labels[i]: correct[targets == i].double().mean().item() for i in words if (targets == i).any()}
    return {
        "clips": len(targets),
        "accuracy": correct.double().mean().item(),
        "mean_accuracy": sum(per_word.values()) / len(per_word),
        "ten_words": accuracy_among(ten, predictions.logits[said], targets[said]).double().mean().item(),
        "per_word": per_word,
    }


def accuracy_among(classes: list[int], logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Whether the most probable one of `classes` is the target, bool [clips]."""
    return torch.tensor(classes)[logits[:, classes].argmax(1)] == targets


def adapt_statistics(
    model: SampleCNNForAudioClassification, extractor: SampleCNNFeatureExtractor, source: Source, recipe: Recipe
):
    """Replace the batch norm statistics by those of unlabeled recordings."""
    clips = prepare(source, extractor.sampling_rate, recipe.cache_dir, ["train"], quiet=True)["train"]
    reestimate_statistics(model, extractor, TrainingSegments(clips, len(source.labels), extractor, recipe.crop))


def read_rows() -> list[dict]:
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []


def plot(rows: list[dict], path: Path):
    """Draw the accuracy on people of each row."""
    figure = Figure(figsize=(7, 0.45 * len(rows) + 1), layout="constrained")
    axes = figure.subplots()
    for offset, (key, label) in enumerate({"accuracy": "35 words", "ten_words": "ten words"}.items()):
        values = [100 * row[key] for row in rows]
        bars = axes.barh([i + 0.4 * offset for i in range(len(rows))], values, 0.38, label=label)
        axes.bar_label(bars, fmt="%.0f", padding=2)
    axes.set(yticks=[i + 0.2 for i in range(len(rows))], yticklabels=[row["name"] for row in rows], xlim=(0, 100))
    axes.set(xlabel="accuracy on words said by people (%)")
    axes.invert_yaxis()
    figure.legend(loc="outside lower right", ncols=2)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
