"""
Check a model folder before it is uploaded to the Hub.

The folder must be complete, all files must have the format of their suffix, none may be a pickle, and the model must
load where this package is not installed.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from huggingface_hub import ModelCard, RepoCard
from safetensors import safe_open

from .file_formats import check_format
from .text import one_line

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
REQUIRED_FILES = (WEIGHTS, CONFIG, "preprocessor_config.json", CARD)
OPENVINO = "openvino"  # folder of the files of `samplecnn export --format openvino`
OUTPUT_WEIGHT = "classifier.out_proj.weight"  # [labels, features]
TASK = "audio-classification"

LOADING_SECONDS = 600  # an intact folder takes about 10 seconds, mostly to import torch
LOAD_CHECK_SCRIPT = f"""
import json
import math
import sys

try:
    import resource
except ImportError:  # on Windows
    pass
else:
    # Bytes of memory and per file, including the output. Existing limits may be lower.
    for limit, most in ((resource.RLIMIT_DATA, 2**34), (resource.RLIMIT_FSIZE, 2**26)):
        _, hard = resource.getrlimit(limit)
        resource.setrlimit(limit, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))

sys.modules["samplecnn_hf"] = None  # importing it fails, as where it is not installed

import numpy as np
from transformers import pipeline

classifier = pipeline("{TASK}", model=sys.argv[1], trust_remote_code=True, device="cpu")
rate = classifier.feature_extractor.sampling_rate
silence = {{"array": np.zeros(rate, dtype=np.float32), "sampling_rate": rate}}
answers = classifier(silence, top_k=None)
if not all(math.isfinite(answer["score"]) for answer in answers):
    raise ValueError("its scores are not finite: damaged weights")
print(json.dumps(sorted(answer["label"] for answer in answers)))
"""


class PublishError(ValueError):
    """A folder cannot be uploaded; the message is one line that says what to do."""

    def __init__(self, message: str):
        super().__init__(one_line(message))


def list_files(folder: Path) -> list[str]:
    """
    List the files to upload, without hidden files, caches, unfinished files and the folder `openvino`, whose weights
    have no format that can be checked.

    Args:
        folder: Folder to upload.

    Returns:
        Sorted relative paths.

    Raises:
        PublishError: The folder does not exist, or contains a symbolic link that leads out of it, something other
            than files and folders, or an unprintable name.
    """
    if not folder.is_dir():
        raise PublishError(f"there is no folder {folder}: give the folder to upload")
    files = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not _is_excluded(name)]
        for path in (Path(place) / name for name in [*folders, *names] if not _is_excluded(name)):
            if not path.name.isprintable():
                raise PublishError(f"{path} has a name with unprintable characters: rename it")
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
                raise PublishError(f"{path} is a link to outside of {folder}: replace it by a copy, or remove it")
            if path.is_file():
                files.append(path.relative_to(folder).as_posix())
            elif not path.is_dir():
                raise PublishError(f"{path} is neither a file nor a folder: remove it")
    return sorted(files)


def _is_excluded(name: str) -> bool:
    return name.startswith(".") or name in ("__pycache__", OPENVINO) or name.endswith(".unfinished")


# Raised for invalid YAML and for fields of wrong types.
CARD_ERRORS = (AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError, yaml.YAMLError)


def read_card(folder: Path, card_class: type[RepoCard], **expected: str | None) -> RepoCard:
    """
    Read the card in README.md and check its front matter.

    Args:
        folder: Folder with the card.
        card_class: `ModelCard` or another class of huggingface_hub.
        **expected: Required fields and their values; None for any value.

    Returns:
        The card.

    Raises:
        PublishError: There is no card, it cannot be parsed, or a field is missing or has another value.
    """
    path = folder / CARD
    if not path.is_file():
        raise PublishError(f"{folder} has no {CARD}: give the folder to upload")
    try:
        card = card_class(path.read_text(encoding="utf-8"))
        card_class(card.content)  # it must also be readable after it is written
    except CARD_ERRORS as error:
        raise PublishError(f"{path} has no valid front matter: {_first_line(error)}") from error
    for name, value in expected.items():
        found = getattr(card.data, name)
        if not found or value not in (None, found):
            example = value or "..."
            raise PublishError(f"{path} has {name}: {found} in its front matter: set {name}: {example}")
    return card


def check_model_folder(folder: str | Path) -> list[str]:
    """
    Check a model folder and list the files to upload.

    Required are weights in safetensors (and no other format), the code, the feature extractor, named labels, and a
    card with a license and scores. Files must have the format of their suffix. `pipeline` must load the folder within
    ten minutes in a new process without samplecnn_hf, cache, token and access to the Hub. This runs the folder's
    code: it is not a sandbox.

    Args:
        folder: Folder of a saved model.

    Returns:
        Sorted relative paths.

    Raises:
        PublishError: A file is missing, invalid or not allowed, or the model does not load.
        ImportError: There is an ONNX file, and the extra `onnx` is not installed.
        OSError: A file cannot be read.
    """
    folder = Path(folder)
    files = list_files(folder)
    for name in REQUIRED_FILES:
        if name not in files:
            advice = "write a model card" if name == CARD else "give the folder of a trained model"
            raise PublishError(f"{folder} has no {name}: {advice}")
    for name in files:
        try:
            check_format(folder / name)
        except ValueError as error:
            raise PublishError(f"{folder / name} {error}") from error
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        _check_code(folder, files, config)
        labels = _read_labels(folder, config)
    except (AttributeError, LookupError, TypeError) as error:
        raise PublishError(f"{folder / CONFIG} is damaged ({error!r}): save the model again") from error
    card = read_card(folder, ModelCard, license=None, pipeline_tag=TASK)
    if not card.data.eval_results:
        raise PublishError(f"{folder / CARD} has no model-index with scores: add one, as training/train.py does")
    _check_loading(folder, labels)
    return files


def _check_code(folder: Path, files: list[str], config: dict):
    pipelines = config.get("custom_pipelines", {}).values()
    classes = [*config.get("auto_map", {}).values(), *(pipeline["impl"] for pipeline in pipelines)]
    if not classes:
        raise PublishError(f"{folder / CONFIG} has no auto_map: save the model again with this package")
    for name in classes:
        file = f"{name.rpartition('.')[0]}.py"  # USER/NAME--file.py where the code is elsewhere on the Hub
        if file not in files:
            raise PublishError(
                f"{folder} has no {file}, which {CONFIG} refers to: save the model again with this package"
            )


def _read_labels(folder: Path, config: dict) -> list[str]:
    """Names of the labels, in the order of the outputs."""
    with safe_open(folder / WEIGHTS, "pt") as weights:
        num_labels = weights.get_slice(OUTPUT_WEIGHT).get_shape()[0] if OUTPUT_WEIGHT in weights.keys() else 0
    if num_labels == 0:
        raise PublishError(
            f"{folder / WEIGHTS} has no classifier: give the folder of a SampleCNNForAudioClassification"
        )
    names = config.get("id2label", {})
    labels = [names.get(str(i)) for i in range(num_labels)]
    if len(names) != num_labels or len(set(labels)) != num_labels or None in labels:
        raise PublishError(f"{folder / CONFIG} needs {num_labels} different labels in id2label, one per output")
    unnamed = [label for label in labels if not label.strip() or re.fullmatch(r"LABEL_\d+", label)]
    if unnamed:
        raise PublishError(
            f"{folder / CONFIG} has a label without a name, {unnamed[0]!r}: name all labels in id2label"
        )
    return labels


def _check_loading(folder: Path, labels: list[str]):
    with tempfile.TemporaryDirectory() as home:
        code, printed, errors = _run_load_check(folder, Path(home))
    if code != 0:
        reason = errors.strip().rpartition("\n")[2] or f"exit status {code}"
        raise PublishError(f"{folder} does not load where samplecnn_hf is not installed: {reason}")
    if printed.strip().rpartition("\n")[2] != json.dumps(sorted(labels)):
        raise PublishError(f"{folder} does not predict the labels of its {CONFIG}: save the model again")


def _run_load_check(folder: Path, home: Path) -> tuple[int, str, str]:
    """Load the folder in a separate process; return exit status, stdout and stderr."""
    # Without token and settings of the user: this runs the folder's code.
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ}
    output, errors = home / "output", home / "errors"
    with output.open("wb") as stdout, errors.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", LOAD_CHECK_SCRIPT, str(folder.absolute())],
            cwd=home,
            env={**kept, "HOME": str(home), "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    try:
        code = process.wait(LOADING_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise PublishError(
            f"{folder} does not load within {LOADING_SECONDS} seconds where samplecnn_hf is not installed"
        ) from error
    finally:
        if process.returncode is None:
            _kill(process)
    return code, *(file.read_text(encoding="utf-8", errors="replace") for file in (output, errors))


def _kill(process: subprocess.Popen):
    """Kill a process and its children; on Windows, only the process."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or repr(error)
