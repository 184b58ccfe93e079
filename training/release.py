"""
Prepare the folder of a training run for publication, and check a prepared folder.

    python -m training.release make runs/samplecnn-esc10 model_cards/samplecnn-esc10 \\
        --compare "fine-tuned=runs/esc10_finetuned" "from scratch=runs/esc10" --examples rain.flac rooster.flac
    python -m training.release renew model_cards/samplecnn-esc10
    python -m training.release check model_cards/samplecnn-arabic-speech-commands \\
        --data_dir data/arabic_speech_commands

`make` adds the scores of other runs or cross-validations, predictions for example sounds, and an ONNX file.
`renew` regenerates code, card, predictions for the examples and ONNX file with this version. `check` recomputes all
scores of the card and compares them.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from accelerate.utils import set_seed
from transformers.utils.logging import disable_progress_bar

from samplecnn_hf import SampleCNNAudioClassificationPipeline
from samplecnn_hf.cli.errors import errors_in_one_line
from samplecnn_hf.export import check_requirements, export_model
from samplecnn_hf.files import replace_when_complete
from samplecnn_hf.loading import load_classifier
from samplecnn_hf.text import markdown_table
from training.errors import DataError
from training.experiments.grid import mean_and_sd
from training.loop.data import load_data
from training.loop.model_card import write_hub_folder
from training.loop.results import evaluate_splits
from training.loop.run import create_accelerator
from training.recipe import Recipe
from training.spoken_words import SpokenWordsRecipe

EXAMPLES = "examples"  # folder in the model's folder
NUM_PREDICTIONS = 3  # labels stored with each example
TOLERANCE = 1e-3  # of scores
DETECTION_SCORES = ("false_alarms_per_hour", "miss_rate", "keyword_accuracy")


def make(run: Path, output: Path, compare: dict[str, Path], examples: list[Path]):
    """
    Write the folder `output` from that of a run.

    Args:
        run: folder of a finished run.
        output: new folder; its name is that of the model.
        compare: folder or results of a run or cross-validation, by the name of its row. If `run` has no scores of its
            own, the first one has the same recipe, and its score is in the metadata of the card.
        examples: audio files named after their label.

    Raises:
        DataError: `output` exists, or a folder or an example cannot be used.
        OSError: the model cannot be loaded.
    """
    if output.exists():
        raise DataError(f"{output} exists: remove it, or renew it")
    results = read_results(run)
    results["name"] = output.absolute().name
    results["compared"] = [compared_row(name, folder) for name, folder in compare.items()]
    results["examples"] = predict_examples(run, examples)
    output.parent.mkdir(parents=True, exist_ok=True)
    with replace_when_complete(output) as folder:
        write_hub_folder(folder, *load_classifier(run), results)
        (folder / EXAMPLES).mkdir()
        for example in examples:
            shutil.copyfile(example, folder / EXAMPLES / example.name)
        export_model(folder)


def renew(folder: Path):
    """
    Write code, card, the predictions for the examples in the folder, and the ONNX file again.

    Raises `DataError` or `OSError` if the folder is not that of a model.
    """
    check_requirements()  # before anything is replaced
    results = read_results(folder)
    results["examples"] = predict_examples(folder, list((folder / EXAMPLES).glob("*")))
    write_hub_folder(folder, *load_classifier(folder), results)
    export_model(folder)


def read_results(run: Path) -> dict:
    """The content of `results.json` of a folder, or of a copy of the file. Raises `DataError` if there is none."""
    path = run if run.suffix == ".json" else run / "results.json"
    if not path.is_file():
        raise DataError(f"{path} does not exist: give the folder of a finished run")
    return json.loads(path.read_text(encoding="utf-8"))


def compared_row(name: str, run: Path) -> dict:
    """
    Scores of the folds of a cross-validation or, for one run, of the last split of its card.

    Raises `DataError` if the run has no scores.
    """
    results = read_results(run)
    if "folds" in results:
        scores = {f"fold {fold}": each["accuracy"] for fold, each in results["folds"].items()}
    elif not results["metrics"]:
        raise DataError(f"{run} was trained on all clips and has no scores to compare: give a cross-validation")
    else:
        split, metrics = list(results["metrics"].items())[-1]
        scores = {f"{split}, seed {results['recipe']['seed']}": metrics[results["metric"]]}
    return {"name": name, **mean_and_sd(list(scores.values())), "scores": scores}


def predict_examples(model: Path, examples: list[Path]) -> list[dict]:
    """
    File, label and the model's predictions for each example, sorted by name.

    Raises `DataError` if a name is not that of a label.
    """
    classifier = SampleCNNAudioClassificationPipeline.from_pretrained(model)
    rows = []
    names = {label.replace(" ", "_"): label for label in classifier.model.config.labels}
    for path in sorted(examples, key=lambda example: example.name):
        if path.stem not in names:
            raise DataError(f"{path} must be named after its label: {path.stem!r} is not a label of {model}")
        label = names[path.stem]
        predictions = classifier(str(path), top_k=NUM_PREDICTIONS)
        rows.append({"file": f"{EXAMPLES}/{path.name}", "label": label, "predictions": predictions})
    return rows


def check(folder: Path, data_dir: str | None, **changes) -> list[dict]:
    """
    Compute the scores of a card again.

    Args:
        folder: folder of the model.
        data_dir: folder of the data, by default that of the run.
        **changes: further fields of the recipe, such as `recordings`.

    Returns:
        Rows of split, metric, score on the card and score now.

    Raises:
        DataError: the card has no scores; the data cannot be read, or have other labels or numbers of clips.
    """
    results = read_results(folder)
    if not results["metrics"]:
        raise DataError(f"{folder} was trained on all clips: its card has no scores of its own")
    # Auxiliary classes are not scored, and the cache was on the machine of the run.
    options = {**results["recipe"], "further": None, "cache_dir": None}
    recipe = load_recipe(options, output_dir=str(folder), data_dir=data_dir, **changes)
    set_seed(recipe.seed)
    model, extractor = load_classifier(folder)
    accelerator = create_accelerator(recipe)
    source = recipe.load_source()
    if source.labels != model.config.labels:
        raise DataError(f"the labels of {recipe.data_dir} are not those of {folder}")
    data = load_data(recipe, source, extractor, accelerator)
    for split in results["metrics"]:
        num_clips, recorded = len(data.clips.get(split, ())), results["clips"][split]
        if num_clips != recorded:
            raise DataError(f"{recipe.data_dir} has {num_clips} {split} clips, not the {recorded} of the card")
    now = {**results, **evaluate_splits(model.to(accelerator.device), data, accelerator)}
    return [
        {"split": split, "metric": metric, "card": card, "now": score}
        for (split, metric, card), (*_, score) in zip(all_scores(results), all_scores(now), strict=True)
    ]


def all_scores(results: dict) -> Iterator[tuple[str, str, float]]:
    """Split, metric and score of all scores, also of words in a stream."""
    for split, metrics in results["metrics"].items():
        for metric, score in metrics.items():
            if score is not None:
                yield split, metric, score
    for split, scores in results.get("detection", {}).get("splits", {}).items():
        for metric in DETECTION_SCORES:
            if scores[metric] is not None:
                yield split, metric, scores[metric]


def load_recipe(options: dict, **changes) -> Recipe:
    """The recipe in `results.json`, with changes where they are not None."""
    recipe_class = SpokenWordsRecipe if "words" in options else Recipe
    known = {field.name for field in fields(recipe_class)}
    changes = {name: value for name, value in changes.items() if value is not None}
    return recipe_class(**{name: value for name, value in {**options, **changes}.items() if name in known})


def main(argv: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="{make,renew,check}", dest="command")
    making = commands.add_parser("make", help="write a new folder from that of a run")
    making.add_argument("run", type=Path, help="folder of a finished run")
    making.add_argument("output", type=Path, help="new folder, named as the model")
    making.add_argument(
        "--compare",
        nargs="+",
        type=_named_run,
        default=[],
        metavar="NAME=RUN",
        help="runs or cross-validations; the score of the first one stands for a run without scores of its own",
    )
    making.add_argument("--examples", nargs="+", type=Path, default=[], help="audio files named after their label")
    renewing = commands.add_parser("renew", help="write code, card, predictions for examples and ONNX file again")
    renewing.add_argument("folder", type=Path, nargs="+", help="folder of a model")
    checking = commands.add_parser("check", help="compute the scores of the card again")
    checking.add_argument("folder", type=Path, help="folder of a model")
    checking.add_argument("--data_dir", help="folder of the data (default: that of the run)")
    checking.add_argument("--recordings", help="folder of the recordings of a keyword spotter")
    checking.add_argument("--background", help="folder of the background of a keyword spotter")
    args = parser.parse_args(argv)
    disable_progress_bar()  # while weights are loaded
    with errors_in_one_line():
        if args.command == "make":
            make(args.run, args.output, dict(args.compare), args.examples)
        elif args.command == "renew":
            for folder in args.folder:
                renew(folder)
        else:
            rows = check(args.folder, args.data_dir, recordings=args.recordings, background=args.background)
            print(markdown_table(rows))
            if different := [row for row in rows if abs(row["card"] - row["now"]) > TOLERANCE]:
                sys.exit(f"error: {len(different)} of {len(rows)} scores differ from the card")


def _named_run(text: str) -> tuple[str, Path]:
    name, equals, run = text.rpartition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=RUN")
    return name, Path(run)


if __name__ == "__main__":
    main()
