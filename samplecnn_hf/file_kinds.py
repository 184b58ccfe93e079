"""The kinds of files that belong in a model folder, told by their content and not by their suffix alone."""

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
# How such files begin: marks, each with its place.
BEGINNINGS = {
    ".png": ((0, b"\x89PNG\r\n\x1a\n"),),
    ".wav": ((0, b"RIFF"), (8, b"WAVE")),
    ".flac": ((0, b"fLaC"),),
    ".ogg": ((0, b"OggS"),),
}


def check_kind(path: Path):
    """
    Raise `ValueError` where the content of a file is not what its suffix says. Pickles and zip archives never pass.

    Raises:
        OSError: the file cannot be read.
        ImportError: it is an ONNX file, and the extra `onnx` is not installed.
    """
    kind = path.suffix.lower() if path.name != "LICENSE" else ".txt"
    if kind not in KINDS:
        raise ValueError("is of a kind that no model needs, and may hold code: remove it")
    if zipfile.is_zipfile(path):  # at its end, as the format allows, and however it begins
        raise ValueError("holds a zip archive: remove it")
    try:
        KINDS[kind](path)
    except (ValueError, RecursionError, SafetensorError, yaml.YAMLError) as error:
        raise ValueError(f"is damaged, or is not {kind} ({one_line(error)}): make it again, or remove it") from error


def _check_text(path: Path) -> str:
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise ValueError(f"it is text of more than {MAX_TEXT_BYTES:,} bytes")
    content = path.read_bytes()
    text = content.decode("utf-8")
    if unprintable := set(text) & CONTROL_CHARACTERS:
        raise ValueError(f"it is not text, it holds {min(unprintable)!r}")
    if _is_pickle(content):
        raise ValueError("it is a pickle")
    return text


def _is_pickle(text: bytes) -> bool:
    """Would `pickle` load it? The oldest protocol is plain text."""
    try:
        with open(os.devnull, "w") as nowhere:
            pickletools.dis(text, out=nowhere, indentlevel=0)  # indentation would grow with the square of the depth
    except (IndexError, ValueError):
        return False
    return True


def _check_json(path: Path):
    json.loads(_check_text(path))


def _check_yaml(path: Path):
    for _ in yaml.safe_load_all(_check_text(path)):  # "safe": a tag that asks for a Python object is an error
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
            raise ValueError("it keeps weights in another file")
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise ValueError(one_line(error)) from error


def _tensors(message, kind: type) -> Iterator:
    """All tensors of a protobuf message, at any depth."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            for item in value if isinstance(value, MutableSequence) else [value]:
                if isinstance(item, kind):
                    yield item
                yield from _tensors(item, kind)


def _check_beginning(path: Path):
    with path.open("rb") as file:
        beginning = file.read(16)
    for place, mark in BEGINNINGS[path.suffix.lower()]:
        if not beginning.startswith(mark, place):
            raise ValueError(f"it does not begin as such a file does, with {mark!r}")


KINDS: dict[str, Callable[[Path], object]] = {
    ".safetensors": _check_safetensors,
    ".json": _check_json,
    ".onnx": _check_onnx,
    ".yaml": _check_yaml,
    **dict.fromkeys((".py", ".md", ".txt", ".csv", ".svg"), _check_text),
    **dict.fromkeys(BEGINNINGS, _check_beginning),
}
