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


def imports(body: list[ast.stmt]) -> Iterator[set[str]]:
    """The packages of each import when a module is imported; of alternatives (`try`), one must be there."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from ({alias.name.partition(".")[0]} for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield {node.module.partition(".")[0]}
        elif isinstance(node, ast.Try):
            yield set().union(*imports(node.body), *imports([each for h in node.handlers for each in h.body]))


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
        for names in imports(ast.parse(path.read_text()).body):
            found = {normalized(each) for name in names for each in distributions.get(name, ())}
            assert names & (sys.stdlib_module_names | OF_EXTRAS) or found & declared, f"{path} imports {names}"
