"""
The common tests of the installed transformers: `load(name)` imports `tests/<name>.py` of its source archive.

The archive is the one that the environment variable TRANSFORMERS_SDIST names, or is downloaded by pip once for each
environment. Nothing of it is part of this repository.
"""

import importlib
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from types import ModuleType

import pytest
import transformers
from filelock import FileLock

PACKAGE = "transformers_common_tests"
FOLDER = Path(sys.prefix) / f"transformers-{transformers.__version__}-tests"

# The archive holds the top of their tests folder alone. What its modules import from further below is put in place;
# our own tests of exporters are in tests/samplecnn_hf/test_modeling_compile.py.
CONFIG_COMMON_KWARGS = {
    "architectures": ["SampleCNNModel"],
    "chunk_size_feed_forward": 5,
    "dtype": "float16",
    "id2label": {0: "label", 1: "other"},
    "is_encoder_decoder": False,
    "label2id": {"label": 0, "other": 1},
    "output_attentions": True,
    "output_hidden_states": True,
    "problem_type": "multi_label_classification",
    "return_dict": False,
}
PUT_IN_PLACE = {
    "exporters": {},
    "exporters.test_export": {
        "ExportTesterMixin": type("ExportTesterMixin", (), {})
    },  # ours: test_modeling_compile.py
    "generation": {},
    "generation.test_utils": {"GenerationTesterMixin": type("GenerationTesterMixin", (), {})},
    "utils": {},
    "utils.test_configuration_utils": {"config_common_kwargs": CONFIG_COMMON_KWARGS},
}


def load(name: str) -> ModuleType:
    """Import one of transformers' test modules; skip the calling test module where it cannot be had."""
    pytest.importorskip("parameterized", reason="transformers' common tests need parameterized")
    with FileLock(f"{FOLDER}.lock"):  # processes of pytest-xdist collect at the same time
        if not FOLDER.exists():
            _extract(FOLDER)
    if PACKAGE not in sys.modules:
        _add_module(PACKAGE, {}, path=[str(FOLDER)])
        for below, contents in PUT_IN_PLACE.items():
            _add_module(f"{PACKAGE}.{below}", contents, path=[])
    return importlib.import_module(f"{PACKAGE}.{name}")


def _add_module(name: str, contents: dict, path: list[str]):
    sys.modules[name] = module = ModuleType(name)
    module.__path__ = path
    vars(module).update(contents)


def _extract(folder: Path):
    """The tests of the archive, in full or not at all."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        archive = os.environ.get("TRANSFORMERS_SDIST") or _download(Path(temporary))
        unpacked = Path(temporary) / "unpacked"
        prefix = f"transformers-{transformers.__version__}/tests/"
        with tarfile.open(archive) as tar:
            members = [member for member in tar if member.name.startswith(prefix) and member.name.endswith(".py")]
            tar.extractall(unpacked, members, filter="data")
        if not members:
            pytest.skip(f"{archive} holds no {prefix}", allow_module_level=True)
        (unpacked / prefix / "__init__.py").touch()  # they import themselves as a package
        (unpacked / prefix).rename(folder)


def _download(folder: Path) -> Path:
    requirement = f"transformers=={transformers.__version__}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", "transformers", requirement]
    try:
        subprocess.run([*command, "-d", str(folder)], check=True, capture_output=True, timeout=120)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        reason = f"pip cannot fetch the source archive of {requirement} ({error.__class__.__name__})"
        pytest.skip(f"{reason}: name it in TRANSFORMERS_SDIST", allow_module_level=True)
    return next(folder.glob("transformers-*.tar.gz"))
