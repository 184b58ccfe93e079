"""
Learning curves of finished runs, from their results.json, as a picture and as a table.

    python -m training.curves runs/arabic_modern runs/arabic_paper --output docs/images/arabic_speech_commands.png
"""

import argparse
import json
from pathlib import Path

from matplotlib.figure import Figure


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "runs", type=Path, nargs="+", help="folders that train.py made, or copies of their results.json"
    )
    parser.add_argument("--output", type=Path, required=True, help="picture to write (png or svg)")
    args = parser.parse_args()
    results = {}
    for run in args.runs:
        file = run / "results.json" if run.is_dir() else run
        results[run.stem] = json.loads(file.read_text())

    metric = next(iter(results.values()))["metric"]
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    accuracy, loss = figure.subplots(1, 2)
    for name, result in results.items():
        epochs = [record["epoch"] for record in result["history"]]
        accuracy.plot(epochs, [record["validation"][metric] for record in result["history"]], marker=".", label=name)
        loss.plot(epochs, [record["validation"]["loss"] for record in result["history"]], marker=".", label=name)
        values = " ".join(f"{record['validation'][metric]:.4f}" for record in result["history"])
        print(f"{name}: {metric} on validation after each epoch: {values}")
    accuracy.set(xlabel="epoch", ylabel=f"validation {metric}")
    loss.set(xlabel="epoch", ylabel="validation loss", yscale="log")
    for axes in (accuracy, loss):
        axes.grid(alpha=0.3)
        axes.legend()
    args.output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.output, dpi=120)
    print(f"wrote {args.output}")


if __name__ == "__main__":
    main()
