"""
What a folder must be before it goes to the Hub.

A model folder is checked as a stranger would find it, before a byte leaves the machine: it is complete, every file is
what its suffix says, none of them is a pickle, and it loads where this package is not installed.
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
HEAD = "classifier.out_proj.weight"  # [labels, features]
TASK = "audio-classification"

LOADING_SECONDS = 600  # an intact folder takes about ten, most of them for importing torch
LOAD_CHECK_SCRIPT = f"""
import json
import math
import sys

try:
    import resource
except ImportError:  # on Windows
    pass
else:
    # Bytes of memory, and of a file, of the output too. A limit that is there already may be lower.
    for limit, most in ((resource.RLIMIT_DATA, 2**34), (resource.RLIMIT_FSIZE, 2**26)):
        _, hard = resource.getrlimit(limit)
        resource.setrlimit(limit, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))

sys.modules["samplecnn_hf"] = None  # installed or not: importing it fails, as where it never was

import numpy as np
from transformers import pipeline

classifier = pipeline("{TASK}", model=sys.argv[1], trust_remote_code=True, device="cpu")
rate = classifier.feature_extractor.sampling_rate
silence = {{"array": np.zeros(rate, dtype=np.float32), "sampling_rate": rate}}
answers = classifier(silence, top_k=None)
if not all(math.isfinite(answer["score"]) for answer in answers):
    raise ValueError("its scores are not finite; the weights are damaged")
print(json.dumps(sorted(answer["label"] for answer in answers)))
"""


class PublishError(ValueError):
    """What keeps a folder from the Hub and what to do, in one line."""

    def __init__(self, message: str):
        super().__init__(one_line(message))


def list_files(folder: Path) -> list[str]:
    """Relative paths of what would be uploaded; hidden files, caches and what is unfinished stay at home.

    Raises:
        PublishError: there is no such folder, a link leads out of it, or it holds what is not a file or has a name
            that cannot be printed.
    """
    if not folder.is_dir():
        raise PublishError(f"there is no folder {folder}: give the one to upload")
    files = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not _stays_at_home(name)]
        for path in (Path(place) / name for name in [*folders, *names] if not _stays_at_home(name)):
            if not path.name.isprintable():
                raise PublishError(f"{path} has a name with characters that cannot be printed: rename it")
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
                raise PublishError(
                    f"{path} is a link that leads out of {folder}: copy what it stands for, or remove it"
                )
            if path.is_file():
                files.append(path.relative_to(folder).as_posix())
            elif not path.is_dir():
                raise PublishError(f"{path} is neither a file nor a folder: remove it")
    return sorted(files)


def _stays_at_home(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__" or name.endswith(".unfinished")


# Of YAML, and of a front matter whose fields have values of wrong types.
CARD_ERRORS = (AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError, yaml.YAMLError)


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
    except CARD_ERRORS as error:
        raise PublishError(f"{path} has no front matter that the Hub can read: {_first_line(error)}") from error
    for name, value in expected.items():
        found = getattr(card.data, name)
        if not found or value not in (None, found):
            example = value or "..."
            raise PublishError(f"{path} has {name}: {found} in its front matter: write {name}: {example} there")
    return card


def check_model_folder(folder: str | Path) -> list[str]:
    """
    The files of a model folder that would be uploaded, once it has been found fit for that.

    It has weights in safetensors, and no others, its code, its feature extractor, named labels, and a card with
    licence and scores. Every file is what its suffix says. `pipeline` loads it, within ten minutes, in a new process
    without samplecnn_hf, cache, token and access to the Hub. This runs the folder's code: it is not a sandbox.

    Returns:
        Relative paths, sorted.

    Raises:
        PublishError: something is missing or wrong, or does not belong on the Hub.
        ImportError: there is an ONNX file, and the extra `onnx` is not installed.
        OSError: a file cannot be read.
    """
    folder = Path(folder)
    files = list_files(folder)
    for name in REQUIRED_FILES:
        if name not in files:
            advice = "write the model's card" if name == CARD else "give a folder that training/train.py made"
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
    with safe_open(folder / WEIGHTS, "pt") as weights:
        num_labels = weights.get_slice(HEAD).get_shape()[0] if HEAD in weights.keys() else 0
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
        code, printed, errors = _run_load_check(folder, Path(home))
    if code != 0:
        reason = errors.strip().rpartition("\n")[2] or f"exit status {code}"
        raise PublishError(f"{folder} does not load where samplecnn_hf is not installed: {reason}")
    if printed.strip().rpartition("\n")[2] != json.dumps(sorted(labels)):
        raise PublishError(f"{folder} does not answer with the labels of its {CONFIG}: save the model again")


def _run_load_check(folder: Path, home: Path) -> tuple[int, str, str]:
    """Load the folder in a process of its own; exit status, output and errors."""
    # Nobody's token or settings: it is the folder's code that runs here.
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
    """End a process with all that it started; on Windows, the process alone."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or repr(error)
