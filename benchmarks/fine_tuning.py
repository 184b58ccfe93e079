"""
Fine-tuning on a few hundred recordings: accuracy and time of the recipe and of the example script.

    python -m benchmarks.fine_tuning PRETRAINED SPEECH_COMMANDS      # writes benchmarks/results/fine_tuning.json

PRETRAINED is a folder that training/train.py made, SPEECH_COMMANDS the unpacked archive, or a part of it that has the
three words and both split lists. Each way runs in a process of its own, with all cores.
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

from training.data import load_source
from training.loop.model_card import without_local_paths

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "fine_tuning.json"
WORDS = ("bed", "cat", "happy")
SEEDS = (0, 1, 2)


def link_words(speech_commands: Path, folder: Path) -> dict[str, int]:
    """Make `folder`/<split>/<word>/*.wav, links to the clips of `WORDS`; returns the number of clips per split."""
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
    """The last line that a script prints, a JSON object, and the seconds that the process took."""
    started = time.perf_counter()
    process = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    if process.returncode != 0:
        sys.exit(process.stderr.strip().rpartition("\n")[2])
    return json.loads(process.stdout.splitlines()[-1]), round(time.perf_counter() - started, 1)


def measure(pretrained: Path, sounds: Path, folder: Path) -> dict[str, dict]:
    """Test accuracy and seconds of each way."""
    results = {}
    for seed in SEEDS:
        options = ["--pretrained", str(pretrained), "--data_dir", str(sounds), "--seed", str(seed)]
        options += ["--output_dir", str(folder / f"recipe{seed}"), "--cache_dir", str(folder / "cache")]
        scores, seconds = run("training/train.py", "--recipe", "training/recipes/finetune.yaml", *options)
        results[f"recipe, seed {seed}"] = {"test_accuracy": scores["test"]["accuracy"], "seconds": seconds}
    scores, seconds = run("examples/finetune.py", str(pretrained), str(sounds), str(folder / "example"))
    return {**results, "example": {"test_accuracy": scores["test"], "seconds": seconds}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pretrained", type=Path, help="folder of a trained model")
    parser.add_argument("speech_commands", type=Path, help="folder of the unpacked archive")
    args = parser.parse_args()
    base = without_local_paths(json.loads((args.pretrained / "results.json").read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory() as folder:
        sounds = Path(folder) / "sounds"
        result = {
            "pretrained": {"command": base["command"], "validation": base["metrics"]["validation"]["accuracy"]},
            "clips": link_words(args.speech_commands.absolute(), sounds),
            "ways": measure(args.pretrained.absolute(), sounds, Path(folder)),
            "hardware": f"{os.cpu_count()} cores, {platform.machine()}",
        }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
