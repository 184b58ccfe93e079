"""Options as fields of a dataclass: their limits, and their values from the command line and from a YAML file."""

import argparse
import difflib
import math
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import MISSING, dataclass, field, fields
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from transformers.hf_argparser import string_to_bool

from samplecnn_hf.text import is_one_line, one_line, shorten
from training.errors import RecipeError

Scalar = int | float | bool | str
TYPE_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text", dict: "a mapping"}
LARGEST = 3.4e38  # the largest float32
MAX_FILE_BYTES = 2**20
SCALAR_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "timestamp")}


@dataclass(frozen=True)
class Limits:
    """The range of a number; `above` and `below` are themselves excluded. NaN is in no range."""

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
            check_text(name, value)
        if limits and value not in limits[0]:
            raise RecipeError(f"--{name} must be {limits[0]}; got {value}")
        if choices and value not in choices:
            raise RecipeError(f"--{name} must be one of {', '.join(choices)}; got {value!r}")
        if types == (dict,) and not all(type(inner) in get_args(Scalar) for inner in value.values()):
            raise RecipeError(f"--{name} must have plain values; got {shorten(ascii(value), 80)}")


def check_text(name: str, text: str):
    """Raise `RecipeError` for text that cannot be written to a card: empty, not UTF-8, or with control characters."""
    if not text.strip():
        raise RecipeError(f"--{name} is empty")
    if not is_one_line(text):
        raise RecipeError(
            f"--{name} {ascii(text)} must be valid UTF-8 without line breaks and control characters; rename it"
        )


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
            form = {"nargs": "+", "metavar": "NAME=VALUE", "action": "extend"}
        parser.add_argument(*spellings, help=f.metadata["help"] + default, default=argparse.SUPPRESS, **form)
    given, unknown = parser.parse_known_args(argv)
    if unknown:
        known = [f"--{f.name}" for f in fields(cls)]
        close = difflib.get_close_matches(unknown[0].partition("=")[0], known, n=1, cutoff=0.8)
        raise RecipeError(
            f"unknown option {unknown[0]}; {f'did you mean {close[0]}?' if close else '--help lists all'}"
        )
    return _convert(cls, {name: _split(name, text) for name, text in vars(given).items()})


def _fail(message: str):
    raise RecipeError(message)


def _split(name: str, given: str | list[str]) -> str | dict[str, str]:
    """Words `NAME=VALUE` as a mapping; a single text as it is."""
    if isinstance(given, str):
        return given
    if wrong := [word for word in given if "=" not in word]:
        raise RecipeError(f"--{name} must be of the form NAME=VALUE; got {shorten(ascii(wrong[0]), 80)}")
    return dict(word.split("=", 1) for word in given)


def read_yaml(cls: type, path: str) -> dict[str, Any]:
    """
    Values of the fields of the dataclass `cls` that a YAML file gives, without those that are null.

    The field, not YAML, decides the type of a value: `no` can be text. No YAML value is ever constructed, so tags,
    anchors and deep nesting have no effect.

    Raises:
        RecipeError: the file cannot be read, or has an unknown field or a value of the wrong type.
    """
    try:
        if not os.path.isfile(path):  # a pipe may never end
            raise FileNotFoundError("there is no such file")
        with open(path, encoding="utf-8-sig") as file:
            text = file.read(MAX_FILE_BYTES + 1)
        if len(text) > MAX_FILE_BYTES:
            raise ValueError("it is too large for a recipe")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise RecipeError(f"cannot read the recipe {path}: {one_line(error)}") from error
    if not isinstance(root, yaml.MappingNode):
        raise RecipeError(f"{path} must hold lines of the form 'name: value'")
    texts, types = {}, {f.name: f.type for f in fields(cls)}
    for name, node, where in _entries(root, path):
        if name not in types:
            raise RecipeError(f"{where}: unknown field {name!r}; train.py --help lists them all")
        if types[name] is dict and isinstance(node, yaml.MappingNode):
            inner = {key: _text(inner, f"{place}: {key}") for key, inner, place in _entries(node, path)}
            texts[name] = _not_null(inner)
        else:
            texts[name] = _text(node, f"{where}: {name}")
    return _convert(cls, _not_null(texts))


def _entries(mapping: yaml.MappingNode, path: str) -> Iterator[tuple[str | None, yaml.Node, str]]:
    """Key, value and place of each entry; the key is None if it is not a scalar."""
    seen = set()
    for key, node in mapping.value:
        name = key.value if isinstance(key, yaml.ScalarNode) else None
        where = f"{path}, line {key.start_mark.line + 1}"
        if name in seen:
            raise RecipeError(f"{where}: {name} is there twice")
        seen.add(name)
        yield name, node, where


def _text(node: yaml.Node, where: str) -> str | None:
    if node.tag not in SCALAR_TAGS:
        raise RecipeError(f"{where} must be a single plain value")
    return None if node.tag.endswith(":null") else node.value


def _not_null(values: dict) -> dict:
    return {name: value for name, value in values.items() if value is not None}


def _convert(cls: type, texts: dict[str, str | dict[str, str]]) -> dict[str, Any]:
    """Texts as values of the fields' types. Raises `RecipeError`."""
    values, types = {}, {f.name: unpack(f.type)[0] for f in fields(cls)}
    for name, text in texts.items():
        if isinstance(text, dict):
            values[name] = {key: _to_type(f"{name} {key}", inner, get_args(Scalar)) for key, inner in text.items()}
        else:
            values[name] = _to_type(name, text, types[name])
    return values


def _to_type(name: str, text: str, types: tuple[type, ...]) -> Scalar:
    """`text` as the first of `types` that it can be."""
    for kind in types:
        with suppress(TypeError, ValueError, argparse.ArgumentTypeError):
            return string_to_bool(text) if kind is bool else kind(text)
    raise RecipeError(f"--{name} must be {TYPE_NAMES[types[0]]}; got {shorten(ascii(text), 80)}")
