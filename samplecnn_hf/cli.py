"""
Upload a trained model to the Hub, export it to ONNX, or convert weights of other SampleCNN implementations.

    samplecnn push runs/quickstart USER/NAME
    samplecnn export runs/quickstart
    samplecnn convert final.h5 OUTPUT --labels tags.txt
"""

import argparse
import sys
from pathlib import Path

from transformers.utils.logging import disable_progress_bar

from .configuration_samplecnn import CHOICES
from .publish import push_model
from .text import one_line


def main(argv: list[str] | None = None):
    parser = argparse.ArgumentParser(
        prog="samplecnn", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    push = commands.add_parser(
        "push",
        help="upload a model folder to the Hub",
        description="Check a model folder, export it to ONNX and upload both to the Hub in one commit.",
    )
    push.add_argument("folder", type=Path, help="folder of a trained model")
    add_hub_arguments(push)
    push.add_argument("--revision", help="branch to commit to; created if it does not exist (default: main)")
    push.add_argument("--tag", help="tag of the commit, such as v1.0")
    push.set_defaults(run=_push)
    export = commands.add_parser("export", help="export to ONNX", description="Write FOLDER/onnx/model.onnx.")
    export.add_argument("folder", type=Path, help="folder of a trained model")
    export.set_defaults(run=_export)
    convert = commands.add_parser(
        "convert",
        help="convert weights of other SampleCNN implementations",
        description="Convert the authors' Keras files (HDF5), or a PyTorch state dict of the plain SampleCNN, into a "
        "folder that transformers loads. The architecture is inferred from the file.",
    )
    convert.add_argument("file", type=Path, help="Keras HDF5 file, PyTorch state dict or safetensors file")
    convert.add_argument("output", type=Path, help="folder to create")
    convert.add_argument(
        "--labels", required=True, help="text file with one label per line, or a,b,c; in the order of the outputs"
    )
    convert.add_argument(
        "--problem_type",
        choices=CHOICES["problem_type"],
        help="required unless the file is a full Keras model in HDF5 format (model.save)",
    )
    convert.add_argument(
        "--sampling_rate",
        type=int,
        help="sampling rate of the training audio in Hz (default: that of the implementation, 22050 or 16000)",
    )
    convert.set_defaults(run=_convert)
    run(parser, argv)


def add_hub_arguments(parser: argparse.ArgumentParser):
    """Add the options of all uploads. There is no option for the token: it would be visible in the process list."""
    parser.add_argument("repo_id", help="USER/NAME on the Hub; uses the token of `hf auth login` or HF_TOKEN")
    parser.add_argument("--private", action="store_true", help="create a private repository")
    parser.add_argument("--dry_run", action="store_true", help="list the files without uploading them")


def run(parser: argparse.ArgumentParser, argv: list[str] | None):
    """Parse the arguments, run the command and print what it returns; errors are one line and exit status 1."""
    args = parser.parse_args(argv)
    disable_progress_bar()  # while weights are loaded
    try:
        if result := args.run(args):
            print(result)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        sys.exit(f"error: {one_line(error)}")
    except KeyboardInterrupt:
        sys.exit("interrupted: run the same command again")


def _push(args: argparse.Namespace) -> str | None:
    return push_model(
        args.folder,
        args.repo_id,
        private=args.private,
        revision=args.revision,
        tag=args.tag,
        dry_run=args.dry_run,
    )


def _export(args: argparse.Namespace) -> Path:
    from .export import export_model

    if not args.folder.is_dir():
        raise ValueError(f"there is no folder {args.folder}: give the folder of a trained model")
    return export_model(args.folder)


def _convert(args: argparse.Namespace) -> Path:
    from .convert import convert_checkpoint, read_labels

    labels = read_labels(args.labels)
    return convert_checkpoint(args.file, args.output, labels, args.problem_type, args.sampling_rate)


if __name__ == "__main__":
    main()
