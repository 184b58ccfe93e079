"""
The commands and examples of README.md, CONTRIBUTING.md and docs/.

Every block of bash or Python runs here, in a folder with a tiny model and a few clips, or says what it needs in a
comment above it: `<!-- needs: network, minutes -->`. The options of all commands are parsed in any case.
"""

import argparse
import importlib
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from accelerate.commands.launch import launch_command_parser
from accelerate.state import AcceleratorState
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from typer.core import TyperCommand

import samplecnn_hf
import samplecnn_hf.analysis
from samplecnn_hf import SampleCNNFeatureExtractor

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]) + [
    ROOT / "docs" / "experiments" / "README.md"
]
NEEDS = {
    "GPUs": "several GPUs",
    "cluster": "several machines",
    "data": "a dataset that is not part of the repository",
    "hub": "an account on the Hub and its token",
    "microphone": "a microphone",
    "minutes": "minutes of training",
    "network": "the internet",
    "npm": "npm and onnxruntime-web",
    "server": "a running demo",
    "weights": "weights of another implementation",
}
MAX_README_LINES = 160
CLASSES = {"high": 3000.0, "low": 300.0}  # Hz
CLIPS = {"train": 8, "validation": 2, "test": 2}  # per class
# Options that make a documented training run small; the last value of an option counts.
SMALL_RUN = ["--num_epochs=1", "--batch_size=8", "--cache_dir=cache", "--threads=1", "--mixed_precision=no"]
SMALL_NETWORK = ["--variant=test-se", "--average_decay=0"]


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    needs: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def commands(self) -> list[list[str]]:
        """The words of each command; an environment variable before it is left out."""
        lines = self.text.replace("\\\n", " ").splitlines()
        commands = [shlex.split(line, comments=True) for line in lines]
        return [words[1:] if "=" in words[0] else words for words in commands if words]


def read_blocks(page: Path) -> list[Block]:
    fence = re.compile(r"(?:<!-- needs: ([\w, ]+) -->\n)?^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    text = page.read_text()
    return [
        Block(
            page,
            text.count("\n", 0, match.start()) + 1,
            match[2],
            tuple((match[1] or "").replace(",", " ").split()),
            match[3],
        )
        for match in fence.finditer(text)
    ]


BLOCKS = [block for page in PAGES for block in read_blocks(page)]
BASH = [block for block in BLOCKS if block.language == "bash"]


# The pages


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= MAX_README_LINES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page):
    text = page.read_text()
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (page.parent / target).exists(), target
    assert "../shared" not in text and "@@" not in text


def test_every_page_is_in_the_navigation_and_linked_from_the_readme():
    def pages(nav):
        return [
            page
            for entry in nav
            for value in entry.values()
            for page in (pages(value) if type(value) is list else [value])
        ]

    nav = pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    readme = (ROOT / "README.md").read_text()
    docs = {str(page.relative_to(ROOT / "docs")) for page in PAGES if page.is_relative_to(ROOT / "docs")}
    assert set(nav) == docs and len(nav) == len(docs)
    assert [page for page in docs - {"index.md", "api.md"} if f"(docs/{page})" not in readme] == []


@pytest.mark.parametrize("module", [samplecnn_hf, samplecnn_hf.analysis], ids=lambda module: module.__name__)
def test_every_public_name_is_in_the_api_reference(module):
    reference = re.findall(r"^::: (\S+)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
    assert {f"{module.__name__}.{name}" for name in module.__all__} <= set(reference)


@pytest.mark.slow
def test_the_site_builds_without_warnings(tmp_path):
    pytest.importorskip("mkdocstrings", reason="needs the extra docs: pip install -e '.[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", tmp_path / "site"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert "average_segments" in (tmp_path / "site" / "api" / "index.html").read_text()


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_needs_are_known(block):
    assert set(block.needs) <= NEEDS.keys()


# The options of the commands


class Parsed(Exception):
    """Raised in place of what a command does once it has parsed its options."""


def check_make(words: list[str]):
    targets = re.findall(r"^([a-z_]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(words) <= set(targets)


def check_pip(words: list[str]):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = ",".join(re.findall(r"\[(.*?)\]", " ".join(words)))
    assert words[0] == "install" and set(filter(None, named.split(","))) <= extras.keys()


def check_pytest(words: list[str]):
    assert all((ROOT / word).exists() for word in words if word.startswith("tests/"))


def main_of(words: list[str]):
    """The function that a Python command calls, and its arguments."""
    if words[0] == "-m":
        name = words[1]
        package = importlib.util.find_spec(name).submodule_search_locations is not None
        return importlib.import_module(f"{name}.__main__" if package else name).main, words[2:]
    name = words[0].removesuffix(".py").replace("/", ".")
    assert (ROOT / words[0]).is_file()
    return importlib.import_module(name).main, words[1:]


def to_call(words: list[str]):
    """The function that a command calls, and its arguments; None for a command that is only checked."""
    program, *rest = words
    program = program.removeprefix(".venv/bin/")
    if program == "python" and rest[:2] == ["-m", "pytest"]:
        return check_pytest(rest[2:])
    if program == "python":
        return main_of(rest)
    if words[:2] == ["accelerate", "launch"]:
        launched = launch_command_parser().parse_args(words[2:])
        return main_of([launched.training_script, *launched.training_script_args])
    if program == "samplecnn":
        from samplecnn_hf.cli import main

        return main, rest
    if words == [".", ".venv/bin/activate"]:
        return None
    return {"make": check_make, "pip": check_pip, "ray": lambda words: None}[program](rest)


def parse_only(monkeypatch):
    """Commands stop with `Parsed` after `parse_args`, or where the recipe is complete."""
    parse_args, parse_known_args = argparse.ArgumentParser.parse_args, argparse.ArgumentParser.parse_known_args

    def parse_and_stop(self, *args, **kwargs):
        with monkeypatch.context() as parsing:  # `parse_args` calls `parse_known_args`
            parsing.setattr(argparse.ArgumentParser, "parse_known_args", parse_known_args)
            parse_args(self, *args, **kwargs)
        raise Parsed

    def parse_known_and_stop(self, *args, **kwargs):
        parse_known_args(self, *args, **kwargs)
        raise Parsed

    def stop(*args, **kwargs):
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", parse_known_and_stop)
    monkeypatch.setattr(TyperCommand, "invoke", stop)
    for command, name in (("train", "train"), ("spoken_words", "train"), ("cross_validate", "cross_validate")):
        monkeypatch.setattr(importlib.import_module(f"training.{command}"), name, stop)


@pytest.fixture
def spaces_demo_path(monkeypatch):
    """The modules of spaces_demo/ import each other as they do on the Hub."""
    monkeypatch.syspath_prepend(ROOT / "spaces_demo")


@pytest.mark.parametrize("block", BASH, ids=str)
def test_the_options_of_every_command_exist(block, monkeypatch, spaces_demo_path):
    monkeypatch.chdir(ROOT)
    calls = [(words[0], *call) for words in block.commands() if (call := to_call(words))]
    parse_only(monkeypatch)
    for program, main, argv in calls:
        monkeypatch.setattr(sys, "argv", [program, *argv])
        if argv:
            with pytest.raises(Parsed):
                main()


# What runs


@pytest.fixture(scope="module")
def example_folder(tmp_path_factory, make_model, make_tone):
    """What the examples find: the checkout's code, runs/quickstart, runs/music, MY_SOUNDS, clip.wav and clip.mp3."""
    folder = tmp_path_factory.mktemp("docs")
    labels = {"id2label": dict(enumerate(CLASSES)), "label2id": {name: i for i, name in enumerate(CLASSES)}}
    tags = {"problem_type": "multi_label_classification", "thresholds": [0.5, 0.5]}
    for name, extra in (("quickstart", {}), ("music", tags)):
        make_model("test-se", segment_length=13122, **labels, **extra).save_pretrained(folder / "runs" / name)
        SampleCNNFeatureExtractor(segment_length=13122).save_pretrained(folder / "runs" / name)
    write_card(folder / "runs" / "quickstart")
    for split, count in CLIPS.items():
        for name, pitch in CLASSES.items():
            (folder / "MY_SOUNDS" / split / name).mkdir(parents=True)
            for i in range(count):
                soundfile.write(folder / "MY_SOUNDS" / split / name / f"{i}.wav", make_tone(pitch), 22050)
    for name in ("clip.wav", "clip.mp3"):
        soundfile.write(folder / name, make_tone(seconds=1), 22050)
    for name in ("training", "examples", "model_cards", "spaces_demo"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def write_card(model: Path):
    score = EvalResult("audio-classification", "tones", "tones", "accuracy", 0.75)
    data = ModelCardData(
        license="apache-2.0", pipeline_tag="audio-classification", model_name="quickstart", eval_results=[score]
    )
    ModelCard(f'---\n{data.to_yaml()}\n---\n\n# quickstart\n\npipeline(model="quickstart")\n').save(
        model / "README.md"
    )


@pytest.fixture
def in_example_folder(example_folder, tmp_path, monkeypatch):
    """The current folder: a copy of `example_folder`."""
    shutil.copytree(example_folder, tmp_path, symlinks=True, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


def blocks_to_run() -> list[Block]:
    """Blocks of bash that need nothing; one of those with the same commands."""
    runnable = [block for block in BASH if not block.needs]
    return list({str(block.commands()): block for block in reversed(runnable)}.values())[::-1]


@pytest.mark.slow
@pytest.mark.parametrize("block", blocks_to_run(), ids=str)
def test_commands_run(block, in_example_folder, monkeypatch):
    for words in block.commands():
        main, argv = to_call(words)
        if main.__module__ == "training.train":
            argv += SMALL_RUN + ([] if "--pretrained" in argv else SMALL_NETWORK)
            AcceleratorState._reset_state(reset_partial_state=True)
        monkeypatch.setattr(sys, "argv", [words[0], *argv])
        main()


PYTHON_PAGES = [page for page in PAGES if any(b.language == "python" and not b.needs for b in read_blocks(page))]


@pytest.mark.parametrize("page", PYTHON_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_examples_run(page, in_example_folder):
    """The blocks of a page share their names; arrays are given."""
    rng = np.random.default_rng(0)
    names = {
        "clip_a": 0.1 * rng.standard_normal(16000).astype(np.float32),
        "clip_b": 0.1 * rng.standard_normal(8000).astype(np.float32),
        "stereo_48k": 0.1 * rng.standard_normal((2, 48000)).astype(np.float32),
    }
    with torch.no_grad():
        for block in read_blocks(page):
            if block.language == "python" and not block.needs:
                exec(compile(block.text, str(block), "exec"), names)
