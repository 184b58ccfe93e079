"""
Decode a dataset into memory-mapped shards before training. (train.py does this if necessary.)

    python -m training.prepare magnatagatune --data_dir data/magnatagatune

An interrupted preparation is resumed. The folder of the shards is printed; it also has a list of the files that are
damaged, missing or too short.
"""

import argparse
import json
import sys

from samplecnn_hf import SampleCNNConfig
from samplecnn_hf.audio_samplecnn import SAMPLING_RATES
from training.data import SOURCES, load_source
from training.data.prepared import prepare, prepared_folder
from training.errors import errors_in_one_line


def main(argv: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", choices=sorted(SOURCES), help="kind of dataset")
    parser.add_argument("--data_dir", required=True, help="folder of the dataset; for hub, its id on the Hub")
    parser.add_argument("--cache_dir", help="folder for the shards (default: in the cache of `datasets`)")
    parser.add_argument(
        "--sampling_rate",
        type=int,
        default=SampleCNNConfig().sampling_rate,
        help="sampling rate in Hz (default: %(default)s)",
    )
    args = parser.parse_args(argv)
    lowest, highest = SAMPLING_RATES
    if not lowest <= args.sampling_rate <= highest:
        sys.exit(f"error: --sampling_rate must be between {lowest} and {highest} Hz; got {args.sampling_rate}")
    with errors_in_one_line("run the same command again to resume"):
        source = load_source(args.source, args.data_dir)
        folder = prepared_folder(source, args.sampling_rate, args.cache_dir)
        splits = prepare(source, args.sampling_rate, args.cache_dir)
    seconds = {split: round(float(clips.num_samples.sum()) / args.sampling_rate, 1) for split, clips in splits.items()}
    counts = {split: len(clips) for split, clips in splits.items()}
    print(json.dumps({"folder": str(folder), "clips": counts, "seconds": seconds}))


if __name__ == "__main__":
    main()
