"""What the package imports comes with its declared dependencies, and not only with those of the tests."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from training.loop.model_card import CODE_REQUIREMENTS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "samplecnn_hf"
DEPENDENCIES = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
OF_EXTRAS = {"matplotlib", "h5py", "onnx"}  # imported by modules that need them


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_with(names: list[str]) -> set[str]:
    """The distributions that pip installs for these, without extras."""
    found, waiting = set(), [normalized(name) for name in names]
    while waiting:
        if (name := waiting.pop()) in found:
            continue
        found.add(name)
        try:
            requirements = map(Requirement, requires(name) or ())
        except PackageNotFoundError:  # of another platform
            continue
        waiting += [
            normalized(each.name)
            for each in requirements
            if each.marker is None or each.marker.evaluate({"extra": ""})
        ]
    return found


def imported(body: list[ast.stmt]) -> Iterator[str]:
    """Packages that are imported unconditionally when the module is; of alternatives (`try`), one must be there."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.partition(".")[0]


def imports(path: Path) -> set[str]:
    return set(imported(ast.parse(path.read_text()).body)) - set(sys.stdlib_module_names)


@pytest.mark.parametrize(
    "paths, requirements",
    [
        (sorted(PACKAGE.rglob("*.py")), DEPENDENCIES),
        (sorted(PACKAGE.glob("*_samplecnn.py")), list(CODE_REQUIREMENTS)),
    ],
    ids=["package", "code in saved folders"],
)
def test_imports_are_declared(paths, requirements):
    declared = installed_with([re.match(r"[\w.-]+", requirement)[0] for requirement in requirements])
    distributions = packages_distributions()
    for path in paths:
        for name in imports(path) - OF_EXTRAS:
            assert declared & {normalized(each) for each in distributions[name]}, f"{path} imports {name}"


def test_one_of_the_alternatives_is_there():
    """httpx or httpx2, as huggingface_hub needs."""
    (alternatives,) = [
        node for node in ast.parse((PACKAGE / "pipeline_samplecnn.py").read_text()).body if isinstance(node, ast.Try)
    ]
    names = {*imported(alternatives.body), *imported(alternatives.handlers[0].body)}
    assert names == {"httpx", "httpx2"} and names & installed_with(["transformers"])
