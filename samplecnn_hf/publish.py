"""
Upload files to the Hub.

A model folder is checked first (see `model_folder`). The checked files are uploaded in one commit; other files in the
repository are kept. (`upload_folder` could split a large folder into several commits.)
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, ModelCard
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError  # the last is that of httpx
from huggingface_hub.utils import validate_repo_id

from . import __version__
from .model_folder import CARD, PublishError, check_model_folder, read_card
from .runtime import Runtime


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
    Check a model folder, export it to ONNX (FOLDER/onnx/model.onnx) and upload both to the Hub in one commit.

    After an interruption, the same call completes the upload. If nothing changed, there is no new commit.

    Args:
        folder: Output of `save_pretrained` of the model and of the feature extractor, with a model card.
        repo_id: USER/NAME on the Hub; created if it does not exist.
        private: Create a private repository.
        revision: Branch to commit to, created if it does not exist; by default "main".
        tag: Tag of the commit, such as "v1.0".
        token: Token of the Hub; by default HF_TOKEN or that of `hf auth login`.
        dry_run: Print the files without uploading them.

    Returns:
        The URL of the commit; None for a dry run.

    Raises:
        PublishError: A check of `check_model_folder` fails, or the Hub rejects the upload or cannot be reached.
        ImportError: The extra `onnx` is not installed.
        RuntimeError: The exported network differs from PyTorch.
    """
    from .export import check_requirements, export_model

    check_requirements()
    check_repo_id(repo_id)
    folder = Path(folder)
    files = {name: folder / name for name in check_model_folder(folder)}
    onnx = export_model(folder)
    check_exports([path for path in files.values() if path.suffix == ".onnx" and path != onnx])
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


def check_exports(paths: list[Path]):
    """Raise `PublishError` for an exported file that is damaged, or that of an earlier model in its folder."""
    for path in paths:
        try:
            Runtime(path)
        except ValueError as error:
            raise PublishError(f"{error}, or remove the file") from error


def check_repo_id(repo_id: str):
    """Raise `PublishError` for an invalid repository name."""
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise PublishError(f"{repo_id!r} is not a valid name on the Hub: give USER/NAME") from error


def _card_for(folder: Path, repo_id: str) -> bytes:
    """The model card, with the local folder in its examples replaced by the Hub id."""
    card = read_card(folder, ModelCard)
    name = re.escape(json.dumps(str(card.data.model_name or folder.name), ensure_ascii=False))
    return re.sub(rf"(model=|from_pretrained\(\s*){name}", rf'\g<1>"{repo_id}"', card.content).encode()


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
    Upload files to a repository in one commit.

    Args:
        files: Local path or content of each file, by its path in the repository.
        repo_id: As in `push_model`.
        repo_type: "model", "space" or "dataset".
        space_sdk: "gradio" or "static", for a Space.
        private: As in `push_model`.
        revision: As in `push_model`.
        tag: As in `push_model`.
        token: As in `push_model`.
        dry_run: As in `push_model`.

    Returns:
        The URL of the commit; None for a dry run.

    Raises:
        PublishError: The Hub rejects the upload or cannot be reached.
    """
    if dry_run:
        sizes = {name: len(file) if isinstance(file, bytes) else file.stat().st_size for name, file in files.items()}
        for name in sorted(sizes):
            print(f"{sizes[name]:>13,}  {name}")
        print(
            f"{sum(sizes.values()):>13,}  bytes in {len(files)} files would be uploaded to the {repo_type} {repo_id}"
        )
        return None
    with one_line_errors(repo_id):
        api = HfApi(token=token, library_name="samplecnn-hf", library_version=__version__)
        # None, not False: the default of an organization may be private.
        created = api.create_repo(
            repo_id, repo_type=repo_type, space_sdk=space_sdk, private=private or None, exist_ok=True
        )
        repo = {"repo_id": created.repo_id, "repo_type": repo_type}
        if private and not api.repo_info(**repo).private:
            raise PublishError(f"{created.repo_id} is already public: make it private on the Hub, or omit --private")
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
    """Tag the commit; an existing tag is not moved."""
    tagged = {ref.name: ref.target_commit for ref in api.list_repo_refs(**repo).tags}
    if tag not in tagged:
        api.create_tag(tag=tag, revision=commit, **repo)
    elif tagged[tag] != commit:
        raise PublishError(
            f"the upload is complete, but the tag {tag} exists at an earlier commit: push again with another --tag"
        )


@contextmanager
def one_line_errors(repo_id: str) -> Iterator[None]:
    """Convert errors of the Hub and of the connection to a `PublishError` that says what to do."""
    try:
        yield
    except PublishError:
        raise
    except RuntimeError as error:  # an upload that failed several times
        raise _explain(error.__cause__ or error, repo_id) from error
    except (HTTPError, OSError, ValueError) as error:
        raise _explain(error, repo_id) from error


def _explain(error: BaseException, repo_id: str) -> PublishError:
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if status == 401:
        advice = "the token is invalid: run `hf auth login`, or set HF_TOKEN to a token with write access"
    elif status == 403:
        advice = (
            f"the token has no write access to {repo_id}: use one with write access, or a name in your own account"
        )
    elif isinstance(error, HTTPError) and status is None:
        advice = f"the connection to the Hub failed ({error}): run the same command again to complete the upload"
    else:
        advice = f"cannot push to {repo_id}: {error}"
    return PublishError(advice)
