"""
Put a trained model, the demo or a prepared data set on the Hub.

    python -m training.publish model runs/quickstart USER/NAME
    python -m training.publish space USER/NAME --models USER/NAME
    python -m training.publish space USER/NAME --static
    python -m training.publish dataset folder USER/NAME --data_dir MY_SOUNDS --license cc-by-4.0

The token is that of `hf auth login`, or HF_TOKEN. Interrupted, the same command starts again and leaves out what is on
the Hub already. `--dry_run` lists what would go.
"""

import argparse
import io
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import soundfile
from datasets import Audio, ClassLabel, Dataset, DatasetDict, Features, List, Value
from huggingface_hub import DatasetCardData, SpaceCard

from samplecnn_hf import SampleCNNConfig
from samplecnn_hf.cli import add_hub_arguments, run
from samplecnn_hf.feature_extraction_samplecnn import SAMPLING_RATES
from samplecnn_hf.model_folder import CARD, TASK, PublishError, list_files, read_card
from samplecnn_hf.publish import check_repo_id, one_line_errors, push_files
from samplecnn_hf.text import escape_markdown, markdown_table
from training.data import SOURCES, load_source
from training.data.prepared import PreparedClips, prepare, prepared_folder
from training.data.source import Source

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "samplecnn_hf"
SPACE_FOLDERS = {"gradio": ROOT / "spaces_demo", "static": ROOT / "runs" / "static_demo"}
MAX_FLAC_RATE = 65_535  # Hz
CLIPS_AT_ONCE = 32  # in memory; `datasets` would keep 1,000

DATASET_CARD = """---
{data}
---

# {name}

{origin}

Mono FLAC at {sampling_rate:,} Hz, {labels_a_clip} of {num_labels} labels a clip. The sound is what samplecnn-hf trains
on, 16-bit samples without loss; clips that could not be decoded were left out.

{table}

```python
from datasets import Audio, load_dataset

dataset = load_dataset("{repo_id}").cast_column("audio", Audio(decode=False))  # soundfile reads the bytes
```

Training on it: `--source hub --data_dir {repo_id}`.
"""
SYNTHETIC = "**Synthetic data**: a program made the sounds. What is reached on them says nothing about recordings."
RECORDED = "Sounds of the source `{source}`; the licence is that of their owners."


# Spaces


def push_space(
    folder: Path,
    repo_id: str,
    sdk: str,
    models: list[str] | None = None,
    private: bool = False,
    dry_run: bool = False,
) -> str | None:
    """
    Put the Gradio or static Space in `folder` on the Hub, without what git ignores; the rest is as in `push_files`.

    The package samplecnn_hf goes along with a Gradio Space, which imports it from there. `models` are the Hub ids that
    it offers, in place of those in its README.md.

    Raises:
        PublishError: README.md does not tell the Hub how to run it, files are missing, or the Hub refuses it.
    """
    if sdk == "static" and not folder.exists():
        raise PublishError(f"there is no folder {folder}: `make static_demo` makes runs/static_demo")
    files = {name: folder / name for name in list_files(folder)}
    needed = {"title": None, "sdk": sdk, "license": None}
    if sdk == "gradio":
        # The Hub's Python, unless told, is older than what transformers needs.
        needed |= {"sdk_version": None, "python_version": None, "app_file": None}
        files = {name: files[name] for name in _without_ignored(folder, list(files))}
        files |= {f"{PACKAGE.name}/{name}": PACKAGE / name for name in list_files(PACKAGE)}
    card = read_card(folder, SpaceCard, **needed)
    if models:
        card.data.models = models
        files[CARD] = card.content.encode()
    if sdk == "gradio" and not card.data.models:
        raise PublishError("name the models that the demo is to offer: --models USER/NAME ...")
    app_file = card.data.app_file or "index.html"
    if app_file not in files:
        raise PublishError(f"{folder} has no {app_file}, which is to be run: correct app_file in {folder / CARD}")
    return push_files(files, repo_id, repo_type="space", space_sdk=sdk, private=private, dry_run=dry_run)


def _without_ignored(folder: Path, files: list[str]) -> list[str]:
    if not any((place / ".git").exists() for place in [folder.absolute(), *folder.absolute().parents]):
        return files
    command = ["git", "-C", str(folder), "check-ignore", "-z", "--stdin"]
    process = subprocess.run(command, input="\0".join(files), capture_output=True, text=True)
    if process.returncode not in (0, 1):  # 1: none is ignored
        raise PublishError(f"git cannot tell what it ignores in {folder}: {process.stderr.strip()}")
    return [file for file in files if file not in process.stdout.split("\0")]


# Data sets


def push_dataset(
    source_name: str,
    data_dir: str,
    repo_id: str,
    license: str,
    sampling_rate: int,
    cache_dir: str | None = None,
    private: bool = False,
    dry_run: bool = False,
) -> str | None:
    """
    Prepare a data source and put its usable clips on the Hub, as Parquet files with FLAC in them.

    `--source hub` reads the same clips and labels back: columns `audio` and `label`, or `labels` for several a clip.
    The card goes first, so that the data are never there without their licence.

    Args:
        license: of the data, as the Hub names it ("cc-by-4.0").
        sampling_rate: in Hz; clips are mono and at this rate.

    Returns:
        The commit's URL; None for a dry run.

    Raises:
        DataError: the data cannot be read.
        PublishError: FLAC knows no such rate, or the Hub refuses the data or cannot be reached.
    """
    lowest = SAMPLING_RATES[0]
    if not lowest <= sampling_rate <= MAX_FLAC_RATE:
        raise PublishError(f"--sampling_rate must be between {lowest} and {MAX_FLAC_RATE} Hz; got {sampling_rate}")
    check_repo_id(repo_id)
    source = load_source(source_name, data_dir)
    prepared = prepare(source, sampling_rate, cache_dir, source.splits)
    with TemporaryDirectory(prefix="flac-", dir=prepared_folder(source, sampling_rate, cache_dir)) as temporary:
        splits = DatasetDict(
            {split: encode_split(prepared[split], split, source, sampling_rate, temporary) for split in source.splits}
        )
        card = render_dataset_card(repo_id, source, splits, license, sampling_rate, source.synthetic)
        push_files({CARD: card.encode()}, repo_id, repo_type="dataset", private=private, dry_run=dry_run)
        if dry_run:
            print(f"{sum(split.data.nbytes for split in splits.values()):>13,}  bytes of clips would go there, too")
            return None
        with one_line_errors(repo_id):
            # The bytes are in the table already: nothing is to be embedded, a whole shard at a time in memory.
            return splits.push_to_hub(repo_id, embed_external_files=False).commit_url


def encode_split(clips: PreparedClips, split: str, source: Source, sampling_rate: int, folder: str) -> Dataset:
    """The clips of a split as FLAC with their labels, in Arrow files in `folder`."""
    label = ClassLabel(names=source.labels)
    several = source.problem_type == "multi_label_classification"
    labels = {"labels": List(label)} if several else {"label": label}

    def rows() -> Iterator[dict]:
        for file, pcm, indices in zip(clips.files, clips, clips.labels, strict=True):
            content = io.BytesIO()
            soundfile.write(content, pcm, sampling_rate, format="FLAC", subtype="PCM_16")
            audio = {"bytes": content.getvalue(), "path": f"{Path(file).stem}.flac"}
            yield {"audio": audio, "labels" if several else "label": indices if several else indices[0]}

    encoded = Dataset.from_generator(
        rows,
        Features({"audio": {"bytes": Value("binary"), "path": Value("string")}, **labels}),
        cache_dir=f"{folder}/{split}",
        split=split,
        fingerprint=split,  # the folder is new each time, so nothing older is found under it
        writer_batch_size=CLIPS_AT_ONCE,
    )
    return encoded.cast_column("audio", Audio(sampling_rate=sampling_rate))


def render_dataset_card(
    repo_id: str, source: Source, splits: DatasetDict, license: str, sampling_rate: int, synthetic: bool
) -> str:
    """The card: what the Hub reads, where the sounds are from, and how many there are."""
    data = DatasetCardData(
        license=license, task_categories=[TASK], tags=["audio", "samplecnn", *(["synthetic"] if synthetic else [])]
    )
    several = source.problem_type == "multi_label_classification"
    return DATASET_CARD.format(
        data=data.to_yaml(),
        name=escape_markdown(repo_id.rpartition("/")[2]),
        repo_id=repo_id,
        origin=SYNTHETIC if synthetic else RECORDED.format(source=source.name),
        sampling_rate=sampling_rate,
        labels_a_clip="any number" if several else "one",
        num_labels=len(source.labels),
        table=markdown_table([{"split": split, "clips": len(clips)} for split, clips in splits.items()]),
    )


# The command


def main(argv: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="{model,space,dataset}")

    space = commands.add_parser("space", help="put the demo on the Hub", description="Put the demo on the Hub.")
    add_hub_arguments(space)
    space.add_argument(
        "--models", nargs="+", metavar="USER/NAME", help="what the Gradio app offers; models on the Hub"
    )
    space.add_argument("--static", action="store_true", help="the page that runs in the browser, not the Gradio app")
    space.add_argument("--folder", type=Path, help="the Space (default: spaces_demo, or runs/static_demo)")
    space.set_defaults(run=_push_space)

    dataset = commands.add_parser(
        "dataset", help="put a data set on the Hub", description="Put a data set, decoded and cleaned, on the Hub."
    )
    dataset.add_argument("source", choices=sorted(SOURCES), help="kind of data set")
    add_hub_arguments(dataset)
    dataset.add_argument("--data_dir", required=True, help="folder that holds it; for hub, its id on the Hub")
    dataset.add_argument(
        "--license", required=True, help="the data's own, such as cc-by-4.0: it must let you hand them on"
    )
    dataset.add_argument(
        "--sampling_rate", type=int, default=SampleCNNConfig().sampling_rate, help="in Hz (default: %(default)s)"
    )
    dataset.add_argument(
        "--cache_dir", help="folder for the decoded clips; beside what `datasets` caches, unless given"
    )
    dataset.set_defaults(run=_push_dataset)
    run(parser, argv)


def _push_space(args: argparse.Namespace):
    sdk = "static" if args.static else "gradio"
    _tell(push_space(args.folder or SPACE_FOLDERS[sdk], args.repo_id, sdk, args.models, args.private, args.dry_run))


def _push_dataset(args: argparse.Namespace):
    _tell(
        push_dataset(
            args.source,
            args.data_dir,
            args.repo_id,
            args.license,
            args.sampling_rate,
            args.cache_dir,
            args.private,
            args.dry_run,
        )
    )


def _tell(url: str | None):
    if url:
        print(url)


if __name__ == "__main__":
    main()
