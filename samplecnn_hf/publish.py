"""
Puts folders on the Hub: what is there is complete, holds no pickle, and loads anywhere.

A model folder is checked as a stranger would find it before a byte leaves the machine; what goes is exactly what was
checked, in one commit; what else is on the Hub already stays there. (Not by `upload_folder`, which may cut a large
folder into several commits.)
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, ModelCard
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError  # the last is the HTTP library's own
from huggingface_hub.utils import validate_repo_id

from . import __version__
from .model_folder import CARD, PublishError, check_model_folder, read_card


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
    name = re.escape(json.dumps(str(card.data.model_name or folder.name), ensure_ascii=False))
    return re.sub(rf"(model=|from_pretrained\(\s*){name}", rf'\g<1>"{repo_id}"', card.content).encode()


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
    return PublishError(advice)
