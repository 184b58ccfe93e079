"""Options as fields of a dataclass: their limits, and their values from the command line and from a YAML file."""

import argparse
import difflib
import math
import os
import re
from contextlib import suppress
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from transformers.hf_argparser import string_to_bool

from samplecnn_hf.text import is_one_line, one_line, shorten
from training.errors import RecipeError

Scalar = int | float | bool | str
MAX_FILE_BYTES = 2**20
TYPE_NAMES = {int: "an integer", float: "a number", bool: "true or false", str: "text", dict: "a mapping"}
LARGEST = 3.4e38  # the largest float32
YAML_NULL = "tag:yaml.org,2002:null"


@dataclass(frozen=True)
class Limits:
    """Range of a number; `above` and `below` are exclusive. NaN is never in range."""

    minimum: float = -LARGEST
    maximum: float = LARGEST
    above: float = -math.inf
    below: float = math.inf

    def __contains__(self, value: float) -> bool:
        return self.minimum <= value <= self.maximum and self.above < value < self.below

    def __str__(self) -> str:
        bounds = {"at least": self.minimum, "above": self.above, "at most": self.maximum, "below": self.below}
        return " and ".join(f"{word} {bound}" for word, bound in bounds.items() if abs(bound) < LARGEST) or "finite"


def option(default, help: str):
    """A field of a dataclass with a help text."""
    default = {"default_factory": dict} if default == {} else {"default": default}
    return field(**default, metadata={"help": help})


def unpack(hint) -> tuple[tuple[type, ...], tuple[str, ...], list[Limits]]:
    """The types that a field's type hint allows, its choices, and its limits."""
    hint, *limits = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    if get_origin(hint) is Literal:
        return (str,), get_args(hint), []
    return get_args(hint) or (hint,), (), limits


def check_options(options):
    """Raise `RecipeError` for a value of the wrong type, or one that its option does not allow."""
    for f in fields(options):
        name, value, (types, choices, limits) = f.name, getattr(options, f.name), unpack(f.type)
        if value is None and NoneType in types:
            continue
        if type(value) not in types and not (type(value) is int and float in types):
            raise RecipeError(f"--{name} must be {TYPE_NAMES[types[0]]}; got a value of type {type(value).__name__}")
        if isinstance(value, str):
            if not value.strip():
                raise RecipeError(f"--{name} is empty")
            if not is_one_line(value):  # it may be written to a model card
                raise RecipeError(f"--{name} {ascii(value)} must be one line of UTF-8 text: rename it")
        if limits and value not in limits[0]:
            raise RecipeError(f"--{name} must be {limits[0]}; got {value}")
        if choices and value not in choices:
            raise RecipeError(f"--{name} must be one of {', '.join(choices)}; got {value!r}")
        if types == (dict,) and not all(type(inner) in get_args(Scalar) for inner in value.values()):
            raise RecipeError(f"--{name} must have plain values; got {shorten(ascii(value), 80)}")


def parse_arguments(cls: type, argv: list[str] | None, description: str) -> dict[str, Any]:
    """Values of the fields of the dataclass `cls` that the command line gives. Raises `RecipeError`."""
    parser = argparse.ArgumentParser(
        description=description, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.error = _fail  # argparse would print a screenful of usage
    for f in fields(cls):
        spellings = dict.fromkeys([f"--{f.name}", f"--{f.name.replace('_', '-')}"])
        default = "" if f.default in (None, MISSING) else f" (default: {f.default})"
        form = {"nargs": "?", "const": "true"} if f.type is bool else {}
        if f.type is dict:
            form = {"nargs": "+", "action": "extend", "metavar": "NAME=VALUE", "type": _name_and_value}
        parser.add_argument(*spellings, help=f.metadata["help"] + default, default=argparse.SUPPRESS, **form)
    given, unknown = parser.parse_known_args(argv)
    if unknown:
        known = [f"--{f.name}" for f in fields(cls)]
        close = difflib.get_close_matches(unknown[0].partition("=")[0], known, n=1, cutoff=0.8)
        raise RecipeError(
            f"unknown option {unknown[0]}; {f'did you mean {close[0]}?' if close else '--help lists all'}"
        )
    return _convert(cls, {name: dict(text) if isinstance(text, list) else text for name, text in vars(given).items()})


def _fail(message: str):
    raise RecipeError(message)


def _name_and_value(word: str) -> list[str]:
    if "=" not in word:
        raise argparse.ArgumentTypeError(f"must be of the form NAME=VALUE; got {shorten(ascii(word), 80)}")
    return word.split("=", 1)


class _TextLoader(yaml.BaseLoader):
    """Loads every value but null as text: the field, not YAML, decides its type (`no` can be text)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        names = [key.value for key, _ in node.value]
        for i, (key, _) in enumerate(node.value):
            if key.value in names[:i]:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate name {key.value!r}", key.start_mark)
        return super().construct_mapping(node, deep)


_TextLoader.add_implicit_resolver(YAML_NULL, re.compile(r"(~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_TextLoader.add_constructor(YAML_NULL, lambda loader, node: None)


def read_yaml(cls: type, path: str) -> dict[str, Any]:
    """
    Values of the fields of the dataclass `cls` that a YAML file gives, without those that are null.

    Raises:
        RecipeError: the file cannot be read, or has an unknown field or a value of the wrong type.
    """
    try:
        if not os.path.isfile(path) or os.path.getsize(path) > MAX_FILE_BYTES:  # a pipe or device may never end
            raise FileNotFoundError("it is not a file of at most 1 MiB")
        loader = _TextLoader(Path(path).read_text(encoding="utf-8-sig"))
        root = loader.get_single_node()
        texts = loader.construct_document(root) if isinstance(root, yaml.MappingNode) else None
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise RecipeError(f"cannot read the recipe {path}: {one_line(error)}") from error
    if texts is None:
        raise RecipeError(f"{path} must be a YAML mapping of 'name: value'")
    known = {f.name for f in fields(cls)}
    if unknown := [key for key, _ in root.value if key.value not in known]:
        where = f"{path}, line {unknown[0].start_mark.line + 1}"
        raise RecipeError(f"{where}: unknown field {unknown[0].value!r}; train.py --help lists them all")
    return _convert(cls, texts)


def _convert(cls: type, texts: dict[str, str | dict[str, str] | None]) -> dict[str, Any]:
    """Texts as values of the fields' types, without those that are None. Raises `RecipeError`."""
    types = {f.name: unpack(f.type)[0] for f in fields(cls)}
    return {name: _to_type(name, text, types[name]) for name, text in texts.items() if text is not None}


def _to_type(name: str, text: str | dict, types: tuple[type, ...]) -> Scalar | dict[str, Scalar]:
    """Convert `text` to the first of `types` that fits."""
    if isinstance(text, dict) and types == (dict,):
        return {
            str(key): _to_type(f"{name} {key}", inner, get_args(Scalar))
            for key, inner in text.items()
            if inner is not None
        }
    for kind in types if isinstance(text, str) else ():
        with suppress(TypeError, ValueError, argparse.ArgumentTypeError):
            return string_to_bool(text) if kind is bool else kind(text)
    given = shorten(ascii(text), 80) if isinstance(text, str) else f"a {type(text).__name__}"  # which may be huge
    raise RecipeError(f"--{name} must be {TYPE_NAMES[types[0]]}; got {given}")
