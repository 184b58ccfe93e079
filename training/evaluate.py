"""
Evaluate a model on clips: the probabilities of a clip are the mean over its segments (section IV-D).

    python -m training.evaluate runs/mine --source folder --data_dir MY_SOUNDS --split validation
"""

import argparse
import json
import sys

from transformers.utils.logging import disable_progress_bar

from samplecnn_hf.text import markdown_table
from training.data import SOURCES
from training.errors import errors_in_one_line
from training.loop.evaluation import evaluate


def main(argv: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder or Hub id of a trained model")
    parser.add_argument(
        "--source",
        required=True,
        help=f"kind of dataset: {', '.join(sorted(SOURCES))}; or folder-foldN, to evaluate on fold N of a folder",
    )
    parser.add_argument("--data_dir", required=True, help="folder of the dataset; for hub, its id on the Hub")
    parser.add_argument("--split", default="test", help="train, validation or test (default: %(default)s)")
    parser.add_argument("--batch_size", type=int, default=8, help="clips per batch (default: %(default)s)")
    parser.add_argument("--cache_dir", help="folder for the decoded clips (default: in the cache of `datasets`)")
    args = parser.parse_args(argv)
    if args.batch_size < 1:
        sys.exit(f"error: --batch_size must be at least 1; got {args.batch_size}")
    disable_progress_bar()  # while weights are loaded
    with errors_in_one_line("run the same command again"):
        scores = evaluate(args.model, args.source, args.data_dir, args.split, args.batch_size, args.cache_dir)
    print(markdown_table(scores.pop("per_label")))
    print(json.dumps({"model": args.model, "split": args.split, **scores}))


if __name__ == "__main__":
    main()
