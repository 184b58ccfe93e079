"""
Puts folders on the Hub: what is there is complete, holds no pickle, and loads anywhere.

A model folder is checked as a stranger would find it before a byte leaves the machine; what goes is exactly what was
checked, in one commit; what else is on the Hub already stays there. (Not by `upload_folder`, which may cut a large
folder into several commits.)
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from huggingface_hub import CommitOperationAdd, HfApi, ModelCard, RepoCard
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError  # the last is the HTTP library's own
from huggingface_hub.utils import validate_repo_id
from safetensors import SafetensorError, safe_open

from . import __version__

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
REQUIRED_FILES = (WEIGHTS, CONFIG, "preprocessor_config.json", CARD)
# What belongs in a model folder; a pickle, under whatever name, does not.
SUFFIXES = (
    ".safetensors",
    ".json",
    ".py",
    ".md",
    ".onnx",
    ".txt",
    ".yaml",
    ".csv",
    ".png",
    ".svg",
    ".wav",
    ".flac",
    ".ogg",
)
HEAD = "classifier.out_proj.weight"  # [labels, features]
TASK = "audio-classification"

STRANGER = f"""
import json
import sys

sys.modules["samplecnn_hf"] = None  # installed or not: importing it fails, as where it never was

import numpy as np
from transformers import pipeline

classifier = pipeline("{TASK}", model=sys.argv[1], trust_remote_code=True)
rate = classifier.feature_extractor.sampling_rate
silence = {{"array": np.zeros(rate, dtype=np.float32), "sampling_rate": rate}}
print(json.dumps([answer["label"] for answer in classifier(silence, top_k=None)]))
"""


class PublishError(ValueError):
    """What keeps a folder from the Hub and what to do, in one line."""


def push_model(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool = False,
    revision: str | None = None,
    tag: str | None = None,
    token: str | None = None,
    dry_run: bool = False,
) -> str | None:
    """
    Check a model folder, export it to ONNX (FOLDER/onnx/model.onnx) and put both on the Hub in one commit.

    The same call after an interruption completes the push; when everything is there already it adds no commit.

    Args:
        folder: what `save_pretrained` of model and feature extractor wrote, with a card.
        repo_id: USER/NAME on the Hub; made if it is not there.
        private: only you, or your organisation, can see it.
        revision: branch to commit to; made if it is not there. "main" unless given.
        tag: name for the new commit, such as "v1.0".
        token: of the Hub; unless given, HF_TOKEN or that of `hf auth login`.
        dry_run: all but talk to the Hub; prints what would go.

    Returns:
        The commit's URL; None for a dry run.

    Raises:
        PublishError: the folder fails a check of `check_model_folder`, or the Hub refuses it or cannot be reached.
        ImportError, RuntimeError: as `export_onnx`.
    """
    from .export import check_requirements, export_onnx

    check_requirements()
    check_repo_id(repo_id)
    folder = Path(folder)
    files = {name: folder / name for name in check_model_folder(folder)}
    onnx = export_onnx(folder)
    files[onnx.relative_to(folder).as_posix()] = onnx
    files[CARD] = _card_for(folder, repo_id)
    return push_files(
        files,
        repo_id,
        private=private,
        revision=revision,
        tag=tag,
        token=token,
        dry_run=dry_run,
    )


def check_repo_id(repo_id: str):
    """Raise `PublishError` for what the Hub would not take, before there is any work."""
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise PublishError(f"{repo_id!r} is no name on the Hub: give USER/NAME") from error


def _card_for(folder: Path, repo_id: str) -> bytes:
    """The card, whose examples load the model from the Hub and not from the folder."""
    card = read_card(folder, ModelCard)
    name = re.escape(card.data.model_name or folder.name)
    return re.sub(rf'(model=|from_pretrained\(\s*)"{name}"', rf'\g<1>"{repo_id}"', card.content).encode()


# What every push shares


def push_files(
    files: dict[str, Path | bytes],
    repo_id: str,
    *,
    repo_type: str = "model",
    space_sdk: str | None = None,
    private: bool = False,
    revision: str | None = None,
    tag: str | None = None,
    token: str | None = None,
    dry_run: bool = False,
) -> str | None:
    """
    Commit files to a model, Space or data set (`repo_type`) in one go. The rest is as in `push_model`.

    Args:
        files: by their path in the repository, where each is on this machine, or its content.
        space_sdk: "gradio" or "static", for a Space.
    """
    if dry_run:
        sizes = {name: len(file) if isinstance(file, bytes) else file.stat().st_size for name, file in files.items()}
        for name in sorted(sizes):
            print(f"{sizes[name]:>13,}  {name}")
        print(f"{sum(sizes.values()):>13,}  bytes in {len(files)} files would go to the {repo_type} {repo_id}")
        return None
    with one_line_errors(repo_id):
        api = HfApi(token=token, library_name="samplecnn-hf", library_version=__version__)
        # None, not False: an organisation may have chosen that its repositories are private.
        made = api.create_repo(
            repo_id, repo_type=repo_type, space_sdk=space_sdk, private=private or None, exist_ok=True
        )
        repo = {"repo_id": made.repo_id, "repo_type": repo_type}
        if private and not api.repo_info(**repo).private:
            raise PublishError(f"{made.repo_id} is public already: make it private on the Hub, or drop --private")
        if revision:
            api.create_branch(branch=revision, exist_ok=True, **repo)
        commit = api.create_commit(
            operations=[CommitOperationAdd(name, file) for name, file in sorted(files.items())],
            commit_message=f"Upload {repo_type}",
            revision=revision,
            **repo,
        )
        if tag:
            _tag(api, repo, tag, commit.oid)
        return commit.commit_url


def _tag(api: HfApi, repo: dict, tag: str, commit: str):
    """Name the commit; a tag that is there already stays where it is, so it must be there."""
    tagged = {ref.name: ref.target_commit for ref in api.list_repo_refs(**repo).tags}
    if tag not in tagged:
        api.create_tag(tag=tag, revision=commit, **repo)
    elif tagged[tag] != commit:
        raise PublishError(f"the push is complete, but {tag} names an earlier commit: push again with another --tag")


@contextmanager
def one_line_errors(repo_id: str) -> Iterator[None]:
    """What the Hub refuses, or the way to it, as a `PublishError` that says what to do."""
    try:
        yield
    except PublishError:
        raise
    except RuntimeError as error:  # an upload that was given up; the cause says why
        raise _explain(error.__cause__ or error, repo_id) from error
    except (HTTPError, OSError, ValueError) as error:
        raise _explain(error, repo_id) from error


def _explain(error: BaseException, repo_id: str) -> PublishError:
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if status == 401:
        advice = "the Hub does not know the token: run `hf auth login`, or set HF_TOKEN to a token that may write"
    elif status == 403:
        advice = f"the token may not write to {repo_id}: use one with write access, or a name below your own account"
    elif isinstance(error, HTTPError) and status is None:
        advice = f"the connection to the Hub failed ({error}): the same command again does what is left of the push"
    else:
        advice = f"cannot push to {repo_id}: {error}"
    return PublishError(" ".join(advice.split()))


def list_files(folder: Path) -> list[str]:
    """Relative paths of what would be uploaded; hidden files, caches and what is unfinished stay at home.

    Raises:
        PublishError: there is no such folder, or a link leads out of it.
    """
    if not folder.is_dir():
        raise PublishError(f"there is no folder {folder}: give the one to upload")
    files = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not _stays_at_home(name)]
        for path in (Path(place) / name for name in [*folders, *names] if not _stays_at_home(name)):
            if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
                raise PublishError(
                    f"{path} is a link that leads out of {folder}: copy what it stands for, or remove it"
                )
            if path.is_file():
                files.append(path.relative_to(folder).as_posix())
    return sorted(files)


def _stays_at_home(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__" or name.endswith(".unfinished")


def read_card(folder: Path, card_class: type[RepoCard], **expected: str | None) -> RepoCard:
    """The card in README.md, whose front matter has the fields `expected`, with these values where they are not None.

    Raises:
        PublishError: there is no card, it cannot be parsed, or a field is missing or has another value.
    """
    path = folder / CARD
    if not path.is_file():
        raise PublishError(f"{folder} has no {CARD}: is it the folder to upload?")
    try:
        card = card_class(path.read_text(encoding="utf-8"))
        card_class(card.content)  # what would be read from what was written
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise PublishError(f"{path} has no front matter that the Hub can read: {_first_line(error)}") from error
    for name, value in expected.items():
        found = getattr(card.data, name)
        if not found or value not in (None, found):
            example = value or "..."
            raise PublishError(f"{path} has {name}: {found} in its front matter: write {name}: {example} there")
    return card


# What a model folder must be


def check_model_folder(folder: str | Path) -> list[str]:
    """
    The files of a model folder that would be uploaded, once it has been found fit for that.

    It has weights in safetensors, and no others, its code, its feature extractor, named labels, and a card with
    licence and scores; and `pipeline` loads it in a new process that has no samplecnn_hf, no cache and no network.

    Returns:
        Relative paths, sorted.

    Raises:
        PublishError: something is missing or wrong, or does not belong on the Hub.
    """
    folder = Path(folder)
    files = list_files(folder)
    for name in REQUIRED_FILES:
        if name not in files:
            advice = "write the model's card" if name == CARD else "give a folder that training/train.py made"
            raise PublishError(f"{folder} has no {name}: {advice}")
    for name in files:
        if Path(name).suffix.lower() not in SUFFIXES and Path(name).name != "LICENSE":
            raise PublishError(f"{folder / name} is of a kind that no model needs, and may hold code: remove it")
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        _check_code(folder, files, config)
        labels = _read_labels(folder, config)
    except (AttributeError, KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise PublishError(f"{folder / CONFIG} is damaged ({error!r}): save the model again") from error
    card = read_card(folder, ModelCard, license=None, pipeline_tag=TASK)
    if not card.data.eval_results:
        raise PublishError(f"{folder / CARD} has no model-index with the scores: write one, as training/train.py does")
    _check_loading(folder, labels)
    return files


def _check_code(folder: Path, files: list[str], config: dict):
    pipelines = config.get("custom_pipelines", {}).values()
    classes = [*config.get("auto_map", {}).values(), *(pipeline["impl"] for pipeline in pipelines)]
    if not classes:
        raise PublishError(f"{folder / CONFIG} names no code (auto_map): save the model again, with this package")
    for name in classes:
        file = f"{name.rpartition('.')[0]}.py"  # USER/NAME--file.py where the code is elsewhere on the Hub
        if file not in files:
            raise PublishError(
                f"{folder} has no {file}, which {CONFIG} names: save the model again, with this package"
            )


def _read_labels(folder: Path, config: dict) -> list[str]:
    """The labels' names, in order."""
    try:
        with safe_open(folder / WEIGHTS, "pt") as weights:
            num_labels = weights.get_slice(HEAD).get_shape()[0] if HEAD in weights.keys() else 0
    except SafetensorError as error:
        raise PublishError(f"{folder / WEIGHTS} is damaged ({error}): save the model again") from error
    if num_labels == 0:
        raise PublishError(
            f"{folder / WEIGHTS} has no classifier: give the folder of a SampleCNNForAudioClassification"
        )
    names = config.get("id2label", {})
    labels = [names.get(str(i)) for i in range(num_labels)]
    if len(names) != num_labels or len(set(labels)) != num_labels or None in labels:
        raise PublishError(f"{folder / CONFIG} needs {num_labels} different labels in id2label, one for each output")
    unnamed = [label for label in labels if not label.strip() or re.fullmatch(r"LABEL_\d+", label)]
    if unnamed:
        raise PublishError(
            f"{folder / CONFIG} has a label without a name, {unnamed[0]!r}: name all of them in id2label"
        )
    return labels


def _check_loading(folder: Path, labels: list[str]):
    with tempfile.TemporaryDirectory() as home:
        # Nobody's token or settings: it is the folder's code that runs here.
        kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ}
        process = subprocess.run(
            [sys.executable, "-I", "-c", STRANGER, str(folder.absolute())],
            cwd=home,
            env={**kept, "HOME": home, "HF_HOME": home, "HF_HUB_OFFLINE": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    if process.returncode != 0:
        reason = (process.stderr.strip() or f"exit status {process.returncode}").splitlines()[-1]
        raise PublishError(f"{folder} does not load where samplecnn_hf is not installed: {reason}")
    if sorted(json.loads(process.stdout.splitlines()[-1])) != sorted(labels):
        raise PublishError(f"{folder} does not answer with the labels of its {CONFIG}: save the model again")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
