"""
The last step of `make quickstart`: load the trained folder as any user would, and name a few held-out voices' words.

    python -m examples.quickstart runs/quickstart
"""

import argparse
import json
from pathlib import Path

from transformers import pipeline

from training.data import load_source

NEXT = """
The model is in {model}/: its card is README.md, its numbers are in results.json. To go on:

  your own recordings   .venv/bin/python -c "from transformers import pipeline; \\
                          print(pipeline('audio-classification', '{model}', trust_remote_code=True)('YOUR.wav'))"
  your own words        .venv/bin/accelerate launch training/train.py --recipe {recipe} \\
                          --source folder --data_dir YOUR_FOLDER --output_dir runs/mine"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder that training/train.py made")
    args = parser.parse_args()

    classifier = pipeline("audio-classification", model=str(args.model), trust_remote_code=True)
    results = json.loads((args.model / "results.json").read_text())
    source = load_source("speech_commands", results["recipe"]["data_dir"])
    test = source.splits["test"]
    for clip in test[:: len(test) // 3][:3]:
        answers = ", ".join(
            f"{answer['label']} {answer['score']:.3f}" for answer in classifier(str(clip.path), top_k=3)
        )
        print(f"{source.labels[clip.labels[0]]:>8} {clip.path.name}  ->  {answers}")
    print(f"\naccuracy on {results['clips']['test']} clips of voices never heard in training:", end=" ")
    print(f"{results['metrics']['test']['accuracy']:.4f} (synthetic speech)")
    print(NEXT.format(model=args.model, recipe="training/recipes/speech_commands/modern.yaml"))


if __name__ == "__main__":
    main()
