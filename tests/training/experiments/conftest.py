"""Tiny versions of the paper's two families, so that every experiment runs to its files in seconds."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from accelerate.state import AcceleratorState

from samplecnn_hf import SampleCNNFeatureExtractor, SampleCNNForAudioClassification, variants
from samplecnn_hf.analysis import ClipExcitations, ExcitationRecorder
from tests.conftest import with_labels
from training.data.source import Clip, Source
from training.data.sources import folder, magnatagatune
from training.experiments import __main__ as experiments
from training.experiments import grid
from training.experiments.grid import NetworkResults, run_grid
from training.experiments.tables.table_5 import Table5
from training.experiments.task import PAPER_TASKS, Task
from training.loop import metrics
from training.recipe import Recipe
from training.synthetic.sources import SYNTHETIC_SOURCES, SyntheticSource

TINY_FAMILIES = {
    9: {"num_blocks": 6, "segment_length": 2187, "stem_channels": 8},
    8: {"num_blocks": 5, "segment_length": 1458, "stem_channels": 8},
}
TINY_STEMS = {(27, 27): (5, {9: 9, 8: 9}), (9, 9): (4, {9: 7, 8: 7})}
LABELS = ["high", "low", "middle"]


def set_tiny_networks(monkeypatch):
    """The names in the registry stay, with networks of 8 channels and a tenth of a second."""
    monkeypatch.setattr(variants, "FAMILIES", TINY_FAMILIES)
    monkeypatch.setattr(variants, "STEMS", TINY_STEMS)
    monkeypatch.setattr(variants, "SHORTEST_MEL_WINDOW", 27)
    monkeypatch.setattr(variants, "_VARIANTS", variants._build_registry())
    monkeypatch.setattr(metrics, "BOOTSTRAP_DRAWS", 2)  # most of the time of a tiny run


@pytest.fixture
def tiny_networks(monkeypatch):
    set_tiny_networks(monkeypatch)


@pytest.fixture
def paper_task():
    """paper_task("magnatagatune"): a task of the paper, without its data."""
    return lambda name: Task(Recipe.load(PAPER_TASKS[name], data_dir=f"data/{name}", output_dir="runs"))


@pytest.fixture
def folders(tmp_path):
    """Options: where runs, results and decoded clips go; one thread, which is the fastest for tiny networks."""
    return [f"--runs_dir={tmp_path / 'experiments'}", f"--cache_dir={tmp_path / 'cache'}", "--threads=1"]


@pytest.fixture
def on_tones(tiny_networks, tones, tmp_path, folders):
    """Options: the tones as a user's own data, for one epoch."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "variant: se-8\nbatch_size: 8\nlearning_rate: 0.01\noptimizer: adamw\nschedule: cosine\n"
        "batch_norm_momentum: 0.1\n"
    )
    return ["--source=folder", f"--data_dir={tones}", f"--recipe={recipe}", "--num_epochs=1", *folders]


@pytest.fixture
def on_chords(tiny_networks, write_chords, tmp_path, monkeypatch, folders):
    """Options: chords as the synthetic music, for one epoch."""
    monkeypatch.setitem(SYNTHETIC_SOURCES, "magnatagatune", SyntheticSource(write_chords, num_epochs=1))
    monkeypatch.setattr(magnatagatune, "MIN_SECONDS", 0.0)  # chords are short
    return ["--synthetic", "--tasks=magnatagatune", f"--data_dir={tmp_path / 'chords'}", *folders]


@pytest.fixture
def run(tmp_path):
    """run("figure_6", *options): run the command and return the result that it wrote."""

    def run(name: str, *options: str) -> dict:
        experiments.main([name, *options])
        (path,) = (tmp_path / "experiments" / "results").glob(f"*/{name}.json")
        return json.loads(path.read_text())

    return run


@pytest.fixture
def trained(monkeypatch):
    """Names of the runs that were trained, in order."""
    names, train = [], grid.train

    def train_and_note(recipe, source):
        names.append(recipe.output_dir.rpartition("/")[2])
        return train(recipe, source)

    monkeypatch.setattr(grid, "train", train_and_note)
    return names


@pytest.fixture
def analyze(run, folders):
    """analyze("figure_8", *models, *options): as `run`, with the folders."""
    return lambda name, *options: run(name, *options, *folders)


@pytest.fixture
def refused(tmp_path, folders):
    """refused("figure_8", *options, message=...): the command fails with a line that has the message, early."""

    def refused(*command: str, message: str):
        with pytest.raises(SystemExit) as error:
            experiments.main([*command, *folders])
        assert str(error.value).startswith("error: ") and message in str(error.value)
        assert "\n" not in str(error.value) and not (tmp_path / "experiments").exists()

    return refused


@pytest.fixture
def save_model(make_model, tmp_path, tones):
    """save_model("name", variant, results=True): a network with the labels of the tones; returns its folder."""

    def save(name="net", variant="test-se", results=True, labels=LABELS):
        path = tmp_path / name
        make_model(variant, **with_labels(labels)).save_pretrained(path)
        SampleCNNFeatureExtractor(segment_length=1458).save_pretrained(path)
        if results:
            recipe = {"source": "folder", "data_dir": str(tones)}
            (path / "results.json").write_text(json.dumps({"source": "folder", "recipe": recipe, "synthetic": True}))
        return str(path)

    return save


@pytest.fixture
def excitations_of_tones(tones):
    """excitations_of_tones(model): excitations and label of each test clip, without the experiments' code."""

    def excitations(model: str) -> list[tuple[ClipExcitations, int]]:
        network = SampleCNNForAudioClassification.from_pretrained(model)
        record = ExcitationRecorder(network, SampleCNNFeatureExtractor.from_pretrained(model))
        return [(record(clip.path, None), clip.labels[0]) for clip in folder.load(tones).splits["test"]]

    return excitations


@pytest.fixture(scope="session")
def trained_on_loudness(tmp_path_factory) -> tuple[Task, dict[str, NetworkResults]]:
    """A task of tones that differ in pitch and loudness, and the SE networks of Table V by their input."""
    path = tmp_path_factory.mktemp("loudness")
    recipe = Recipe(
        source="magnatagatune",
        data_dir=str(path),
        cache_dir=str(path / "cache"),
        output_dir=str(path / "runs"),
        variant="se-9",
        num_epochs=5,
        batch_size=16,
        optimizer="adamw",
        schedule="cosine",
        batch_norm_momentum=0.1,
        dropout=0.0,
        mixed_precision="no",
        threads=1,
    )
    task = Task(recipe)
    task.__dict__["source"] = write_tones_of_loudness(path)
    AcceleratorState._reset_state(reset_partial_state=True)  # before the tests' own `fresh_accelerator`
    with pytest.MonkeyPatch.context() as monkeypatch:
        set_tiny_networks(monkeypatch)
        networks = [network for network in Table5().networks(task) if network.variant == "se-9"]
        (*_, trained) = run_grid(task, networks, task.repetitions(1))
    return task, {results.network.columns["input"]: results for results in trained}


def write_tones_of_loudness(path: Path) -> Source:
    rng, splits = np.random.default_rng(0), {}
    for split, count in (("train", 120), ("validation", 40), ("test", 40)):
        splits[split] = []
        for i in range(count):
            pitch, level = i % 2, i // 2 % 3
            frequency, amplitude = (300, 3000)[pitch], (0.02, 0.1, 0.5)[level] * rng.uniform(0.7, 1.4)
            phase = 2 * np.pi * (frequency * rng.uniform(0.9, 1.1) * np.arange(4400) / 22050 + rng.random())
            tone = amplitude * (np.sin(phase) + 0.03 * rng.standard_normal(len(phase)))
            file = path / f"{split}{i}.wav"
            soundfile.write(file, tone, 22050, subtype="FLOAT")
            splits[split].append(Clip(file, (pitch, *((2,), (), (3,))[level])))
    labels = ["low", "high", "quiet", "loud"]
    return Source("magnatagatune", path, labels, "multi_label_classification", splits, "roc_auc")
