"""
Download one of the paper's datasets, in the layout that `--source` reads.

    python -m training.download speech_commands --data_dir data/speech_commands_v0.02

    speech_commands        2.4 GB, 3.5 GB unpacked    version 0.02 with 35 words, as in the paper
    speech_commands_v0.01  1.5 GB, 2.1 GB unpacked    30 words
    magnatagatune          3.0 GB, 3.0 GB unpacked    its server is slow
    dcase2017              3 MB, the tables only      the audio is on YouTube; prints instructions
    million_song           not available              the audio cannot be redistributed; prints instructions

DATA_DIR is created when all files are complete and verified. To resume an interrupted download (in DATA_DIR.download),
run the same command again. Archives are removed after unpacking.
"""

import argparse
import json
from pathlib import Path

from training.data.downloads import DOWNLOADS, download
from training.errors import errors_in_one_line


def main(argv: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=DOWNLOADS, help="dataset to download; see above")
    parser.add_argument("--data_dir", type=Path, required=True, help="new folder for the dataset")
    args = parser.parse_args(argv)
    with errors_in_one_line("run the same command again to resume"):
        download(args.dataset, args.data_dir)
    print(DOWNLOADS[args.dataset].by_hand.format(data_dir=args.data_dir), end="")
    print(json.dumps({"dataset": args.dataset, "data_dir": str(args.data_dir)}))


if __name__ == "__main__":
    main()
