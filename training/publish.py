"""
Upload the demo or a prepared dataset to the Hub. (`samplecnn push` uploads a model.)

    python -m training.publish space USER/NAME --models USER/NAME
    python -m training.publish space USER/NAME --static
    python -m training.publish dataset folder USER/NAME --data_dir MY_SOUNDS --license cc-by-4.0

Log in with `hf auth login` or set HF_TOKEN. After an interruption, run the same command again: files that are already
on the Hub are skipped. `--dry_run` lists the files without uploading them.
"""

import argparse
import subprocess
from pathlib import Path

from huggingface_hub import SpaceCard

from samplecnn_hf import SampleCNNConfig
from samplecnn_hf.cli.errors import errors_in_one_line
from samplecnn_hf.model_folder import CARD, PublishError, list_files, read_card
from samplecnn_hf.publish import push_files
from training.data import SOURCES
from training.data.dataset_repo import push_dataset

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "samplecnn_hf"
SPACE_FOLDERS = {"gradio": ROOT / "spaces_demo", "static": ROOT / "runs" / "static_demo"}


def push_space(
    folder: Path, repo_id: str, sdk: str, models: list[str] | None, private: bool, dry_run: bool
) -> str | None:
    """
    Upload the Gradio or static Space in `folder`, without files that git ignores; see `push_files`.

    A Gradio Space is uploaded with the package samplecnn_hf, which it imports. `models` are the Hub ids that it offers
    (None: those in its README.md).

    Raises:
        PublishError: README.md lacks metadata, files are missing, or the Hub rejects the Space.
    """
    if sdk == "static" and not folder.exists():
        raise PublishError(f"there is no folder {folder}: `make static_demo` writes runs/static_demo")
    files = {name: folder / name for name in list_files(folder)}
    needed = {"title": None, "sdk": sdk, "license": None}
    if sdk == "gradio":
        # The Hub's default Python is older than what transformers requires.
        needed |= {"sdk_version": None, "python_version": None, "app_file": None}
        files = {name: files[name] for name in _without_ignored(folder, list(files))}
        files |= {f"{PACKAGE.name}/{name}": PACKAGE / name for name in list_files(PACKAGE)}
    card = read_card(folder, SpaceCard, **needed)
    if models:
        card.data.models = models
        files[CARD] = card.content.encode()
    if sdk == "gradio" and not card.data.models:
        raise PublishError("the demo offers no models: name them with --models USER/NAME ...")
    app_file = card.data.app_file or "index.html"
    if app_file not in files:
        raise PublishError(f"{folder} has no {app_file}, the file to run: correct app_file in {folder / CARD}")
    return push_files(files, repo_id, repo_type="space", space_sdk=sdk, private=private, dry_run=dry_run)


def _without_ignored(folder: Path, files: list[str]) -> list[str]:
    if not any((place / ".git").exists() for place in [folder.absolute(), *folder.absolute().parents]):
        return files
    command = ["git", "-C", str(folder), "check-ignore", "-z", "--stdin"]
    process = subprocess.run(command, input="\0".join(files), capture_output=True, text=True)
    if process.returncode not in (0, 1):  # 1: none is ignored
        raise PublishError(f"git check-ignore failed in {folder}: {process.stderr.strip()}")
    return [file for file in files if file not in process.stdout.split("\0")]


def main(argv: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="{space,dataset}")

    space = commands.add_parser("space", help="upload the demo", description="Upload the demo to the Hub.")
    _add_hub_arguments(space)
    space.add_argument("--models", nargs="+", metavar="USER/NAME", help="models on the Hub for the Gradio app")
    space.add_argument("--static", action="store_true", help="upload the static page instead of the Gradio app")
    space.add_argument("--folder", type=Path, help="folder of the Space (default: spaces_demo or runs/static_demo)")
    space.set_defaults(run=_push_space)

    dataset = commands.add_parser(
        "dataset", help="upload a dataset", description="Decode a dataset and upload its usable clips to the Hub."
    )
    dataset.add_argument("source", choices=sorted(SOURCES), help="kind of dataset")
    _add_hub_arguments(dataset)
    dataset.add_argument("--data_dir", required=True, help="folder of the dataset; for hub, its id on the Hub")
    dataset.add_argument("--license", required=True, help="license of the data, such as cc-by-4.0")
    dataset.add_argument(
        "--sampling_rate",
        type=int,
        default=SampleCNNConfig().sampling_rate,
        help="sampling rate of the uploaded clips in Hz (default: %(default)s)",
    )
    dataset.add_argument("--cache_dir", help="folder for decoded clips (default: in the cache of `datasets`)")
    dataset.set_defaults(run=_push_dataset)
    args = parser.parse_args(argv)
    with errors_in_one_line():
        if url := args.run(args):
            print(url)


def _add_hub_arguments(parser: argparse.ArgumentParser):
    """Add the options of all uploads. There is no option for the token: it would be visible in the process list."""
    parser.add_argument("repo_id", help="USER/NAME on the Hub; uses the token of `hf auth login` or HF_TOKEN")
    parser.add_argument("--private", action="store_true", help="create a private repository")
    parser.add_argument("--dry_run", action="store_true", help="list the files without uploading them")


def _push_space(args: argparse.Namespace) -> str | None:
    sdk = "static" if args.static else "gradio"
    return push_space(args.folder or SPACE_FOLDERS[sdk], args.repo_id, sdk, args.models, args.private, args.dry_run)


def _push_dataset(args: argparse.Namespace) -> str | None:
    options = ("data_dir", "repo_id", "license", "sampling_rate", "cache_dir", "private", "dry_run")
    return push_dataset(args.source, **{name: getattr(args, name) for name in options})


if __name__ == "__main__":
    main()
