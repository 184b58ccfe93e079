"""
Accuracy and time of fine-tuning on a few hundred recordings, with the recipe and with the example script.

    python -m benchmarks.fine_tuning PRETRAINED SPEECH_COMMANDS      # writes benchmarks/results/fine_tuning.json

PRETRAINED is a folder written by training/train.py. SPEECH_COMMANDS is the unpacked archive, or a subset of it with
the three words and both split lists.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.common import write_results
from training.data import load_source
from training.loop.model_card import without_local_paths

ROOT = Path(__file__).parents[1]
WORDS = ("bed", "cat", "happy")
SEEDS = (0, 1, 2)


def link_words(speech_commands: Path, folder: Path) -> dict[str, int]:
    """Link the clips of `WORDS` as `folder`/<split>/<word>/*.wav and return the number of clips per split."""
    source = load_source("speech_commands", speech_commands)
    counts = dict.fromkeys(source.splits, 0)
    for split, clips in source.splits.items():
        for clip in clips:
            word = source.labels[clip.labels[0]]
            if word in WORDS:
                link = folder / split / word / clip.path.name
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(clip.path)
                counts[split] += 1
    return counts


def run(*command: str) -> tuple[dict, float]:
    """Run a script and return the JSON object on its last line of output, and its wall-clock time in seconds."""
    start = time.perf_counter()
    process = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    if process.returncode != 0:
        sys.exit(process.stderr.strip().rpartition("\n")[2])
    return json.loads(process.stdout.splitlines()[-1]), round(time.perf_counter() - start, 1)


def measure(pretrained: Path, data_dir: Path, folder: Path) -> dict[str, dict]:
    """Return the test accuracy and the time of the recipe, for each seed, and of the example; runs are in `folder`."""
    results = {}
    for seed in SEEDS:
        options = ["--pretrained", str(pretrained), "--data_dir", str(data_dir), "--seed", str(seed)]
        options += ["--output_dir", str(folder / f"recipe{seed}"), "--cache_dir", str(folder / "cache")]
        scores, seconds = run("training/train.py", "--recipe", "training/recipes/finetune.yaml", *options)
        results[f"recipe, seed {seed}"] = {"test_accuracy": scores["test"]["accuracy"], "seconds": seconds}
    scores, seconds = run("examples/finetune.py", str(pretrained), str(data_dir), str(folder / "example"))
    return {**results, "example": {"test_accuracy": scores["test"], "seconds": seconds}}


def main(argv: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pretrained", type=Path, help="folder of a trained model")
    parser.add_argument("speech_commands", type=Path, help="folder of the unpacked archive")
    args = parser.parse_args(argv)
    if not (args.pretrained / "results.json").is_file():
        parser.error(f"{args.pretrained} has no results.json: give a folder that training/train.py wrote")
    base = without_local_paths(json.loads((args.pretrained / "results.json").read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory() as folder:
        words = Path(folder) / "words"
        results = {
            "pretrained": {"command": base["command"], "validation": base["metrics"]["validation"]["accuracy"]},
            "clips": link_words(args.speech_commands.absolute(), words),
            "methods": measure(args.pretrained.absolute(), words, Path(folder)),
            "hardware": f"{os.cpu_count()} cores, {platform.machine()}",
        }
    write_results("fine_tuning", results)


if __name__ == "__main__":
    main()
