"""
Classify held-out clips with the model of `make quickstart`, loaded with `pipeline` as from the Hub.

    python -m examples.quickstart runs/quickstart
"""

import argparse
import json
from pathlib import Path

from transformers import pipeline

MEASURED = Path(__file__).parents[1] / "docs" / "results" / "quickstart.json"  # the same command, scored on recordings
NEXT_STEPS = """
The model is in {model}/: README.md is its model card, results.json has its metrics. Next steps:

  classify a recording   .venv/bin/python -c "from transformers import pipeline; \\
                           print(pipeline('audio-classification', '{model}', trust_remote_code=True)('YOUR.wav'))"
  spot your own words    .venv/bin/python -m training.spoken_words --words "marvin, hello" --output_dir runs/my_words
  train on your data     .venv/bin/accelerate launch training/train.py \\
                           --recipe training/recipes/speech_commands/modern.yaml \\
                           --source folder --data_dir YOUR_FOLDER --output_dir runs/mine"""


def main(argv: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder written by training/spoken_words.py")
    args = parser.parse_args(argv)

    classifier = pipeline("audio-classification", model=str(args.model), trust_remote_code=True)
    results = json.loads((args.model / "results.json").read_text(encoding="utf-8"))
    data_dir = Path(results["recipe"]["data_dir"])
    test_files = (data_dir / "testing_list.txt").read_text(encoding="utf-8").split()  # word/file
    test_files = [file for file in test_files if not file.startswith("_")]  # neither _unknown_ nor _silence_
    for file in test_files[:: len(test_files) // 3][:3]:
        word, name = file.split("/")
        predictions = classifier(str(data_dir / file), top_k=3)
        scores = ", ".join(f"{prediction['label']} {prediction['score']:.3f}" for prediction in predictions)
        print(f"{word:>8} {name}  ->  {scores}")
    synthetic = results["detection"]["splits"]["test"]
    people = json.loads(MEASURED.read_text(encoding="utf-8"))["detection"]["splits"]["recordings"]
    print("\naccuracy among the ten words:")
    print(f"  {synthetic['keyword_accuracy']:.4f}  {synthetic['keyword_clips']} test clips of unseen synthetic voices")
    print(f"  {people['keyword_accuracy']:.4f}  {people['keyword_clips']} recordings of people, in an earlier run")
    print(f"          of this command (docs/results/{MEASURED.name})")
    print(NEXT_STEPS.format(model=args.model))


if __name__ == "__main__":
    main()
