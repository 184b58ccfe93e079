"""File formats that are allowed in a model folder, checked by content, not only by suffix."""

import json
import os
import pickletools
import zipfile
from collections.abc import Callable, Iterator, MutableSequence
from pathlib import Path

import yaml
from safetensors import SafetensorError, safe_open

from .text import one_line

MAX_TEXT_BYTES = 2**26
CONTROL_CHARACTERS = set(map(chr, range(32))) - set("\t\n\r\f")
# (offset, bytes)
SIGNATURES = {
    ".png": ((0, b"\x89PNG\r\n\x1a\n"),),
    ".wav": ((0, b"RIFF"), (8, b"WAVE")),
    ".flac": ((0, b"fLaC"),),
    ".ogg": ((0, b"OggS"),),
}


def check_format(path: Path):
    """
    Check that the content of a file has the format of its suffix, and is neither a pickle nor a zip archive.

    Raises:
        ValueError: The format is wrong or not allowed.
        OSError: The file cannot be read.
        ImportError: It is an ONNX file, and the extra `onnx` is not installed.
    """
    suffix = path.suffix.lower() if path.name != "LICENSE" else ".txt"
    if suffix not in FORMATS:
        raise ValueError("has a format that a model does not need, and may hold code: remove it")
    if zipfile.is_zipfile(path):  # an archive may follow other content
        raise ValueError("contains a zip archive: remove it")
    try:
        FORMATS[suffix](path)
    except (ValueError, RecursionError, SafetensorError, yaml.YAMLError) as error:
        raise ValueError(f"is damaged, or not {suffix} ({one_line(error)}): create it again, or remove it") from error


def _check_text(path: Path) -> str:
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise ValueError(f"it is text of more than {MAX_TEXT_BYTES:,} bytes")
    content = path.read_bytes()
    text = content.decode("utf-8")
    if unprintable := set(text) & CONTROL_CHARACTERS:
        raise ValueError(f"it is not text, it contains {min(unprintable)!r}")
    if _is_pickle(content):
        raise ValueError("it is a pickle")
    return text


def _is_pickle(text: bytes) -> bool:
    """Whether `pickle` would load this text; the oldest protocol of pickle is plain text."""
    try:
        with open(os.devnull, "w") as nowhere:  # indented, the output would grow quadratically with the depth
            pickletools.dis(text, out=nowhere, indentlevel=0)
    except (IndexError, ValueError):
        return False
    return True


def _check_json(path: Path):
    json.loads(_check_text(path))


def _check_yaml(path: Path):
    for _ in yaml.safe_load_all(_check_text(path)):  # rejects tags of Python objects
        pass


def _check_safetensors(path: Path):
    with safe_open(path, "np"):
        pass


def _check_onnx(path: Path):
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path, load_external_data=False)
        if any(onnx.external_data_helper.uses_external_data(tensor) for tensor in _tensors(model, onnx.TensorProto)):
            raise ValueError("its weights are in another file")
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise ValueError(one_line(error)) from error


def _tensors(message, kind: type) -> Iterator:
    """Yield all tensors of a protobuf message, at any depth."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            for item in value if isinstance(value, MutableSequence) else [value]:
                if isinstance(item, kind):
                    yield item
                yield from _tensors(item, kind)


def _check_signature(path: Path):
    with path.open("rb") as file:
        beginning = file.read(16)
    for offset, signature in SIGNATURES[path.suffix.lower()]:
        if not beginning.startswith(signature, offset):
            raise ValueError(f"its signature is not {signature!r}")


FORMATS: dict[str, Callable[[Path], object]] = {
    ".safetensors": _check_safetensors,
    ".json": _check_json,
    ".onnx": _check_onnx,
    ".yaml": _check_yaml,
    **dict.fromkeys((".py", ".md", ".txt", ".csv", ".svg"), _check_text),
    **dict.fromkeys(SIGNATURES, _check_signature),
}
