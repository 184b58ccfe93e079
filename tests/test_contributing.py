"""What CONTRIBUTING.md says about adding a variant, a source, a metric, a recipe and an experiment, done with toys."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import soundfile
from accelerate.state import AcceleratorState

from samplecnn_hf import SampleCNNAudioClassificationPipeline, create_config, list_variants, variants
from training import train
from training.data import SOURCES
from training.data.source import Clip, Source
from training.errors import DataError
from training.experiments import EXPERIMENTS
from training.experiments import __main__ as experiments
from training.experiments.experiment import GridExperiment
from training.experiments.grid import Network
from training.experiments.plots import plot_scores
from training.loop import metrics
from training.options import option

TONES = {"high": 3000.0, "low": 300.0}  # Hz
CLIPS = {"train": 8, "validation": 4}  # per tone
RECIPE = """# Two tones in seconds.
source: toy_source
variant: toy-se
num_epochs: 1
batch_size: 8
optimizer: adamw
mixed_precision: "no"
"""


@pytest.fixture(autouse=True)
def fresh_accelerator():
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def toy_variant(monkeypatch):
    """An entry in the registry of samplecnn_hf/variants.py."""
    monkeypatch.setitem(variants._VARIANTS, "toy-se", {"block_type": "se", **variants.TINY, "num_blocks": 4})


@pytest.fixture
def toy_source(monkeypatch):
    """A file with `load`, and its name in SOURCES."""

    def load(data_dir: Path) -> Source:
        labels = sorted(TONES)
        splits = {
            split: [
                Clip(path, (labels.index(path.parent.name),)) for path in sorted(data_dir.glob(f"{split}/*/*.wav"))
            ]
            for split in CLIPS
        }
        if not splits["train"]:
            raise DataError(f"{data_dir} has no files such as train/high/0.wav: give the folder that holds them")
        return Source("toy_source", data_dir, labels, "single_label_classification", splits, "accuracy")

    monkeypatch.setitem(SOURCES, "toy_source", load)


@pytest.fixture
def toy_metric(monkeypatch):
    """An entry in `SINGLE_LABEL_SCORES`."""
    monkeypatch.setitem(
        metrics.SINGLE_LABEL_SCORES, "toy_confidence", lambda probabilities, true: probabilities.max(1).mean()
    )


@pytest.fixture
def toy_recipe(tmp_path):
    """A YAML file."""
    path = tmp_path / "toy.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def toy_experiment(monkeypatch):
    """A class in EXPERIMENTS."""

    @dataclass(frozen=True)
    class ToyExperiment(GridExperiment):
        wide: bool = option(False, "train a network with a wider squeeze as well")

        name = "toy_experiment"
        title = "Toy: width of the squeeze"

        def networks(self, task):
            ratios = [0.125, 0.25] if self.wide else [0.125]
            return [Network("toy-se", {"ratio": ratio}, model_kwargs={"se_ratio": ratio}) for ratio in ratios]

        def plots(self, tables):
            return {"toy_experiment": plot_scores(tables["toy_experiment"], x="ratio")}

    monkeypatch.setitem(EXPERIMENTS, ToyExperiment.name, ToyExperiment)


@pytest.fixture
def tones(tmp_path, make_tone):
    folder = tmp_path / "tones"
    for split, count in CLIPS.items():
        for name, pitch in TONES.items():
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                soundfile.write(folder / split / name / f"{i}.wav", make_tone(pitch, seconds=0.1), 22050)
    return folder


@pytest.fixture
def options(tones, toy_recipe, tmp_path):
    return [f"--recipe={toy_recipe}", f"--data_dir={tones}", f"--cache_dir={tmp_path / 'cache'}", "--threads=1"]


def test_a_variant_a_source_a_metric_and_a_recipe(
    toy_variant, toy_source, toy_metric, options, tmp_path, write_tone, capsys
):
    assert "toy-se" in list_variants() and create_config("toy-se").num_blocks == 4
    output = tmp_path / "run"
    train.main([*options, f"--output_dir={output}"])
    results = json.loads((output / "results.json").read_text())
    assert results["recipe"]["variant"] == "toy-se" and results["source"] == "toy_source"
    assert 0.5 <= results["metrics"]["validation"]["toy_confidence"] <= 1
    assert "toy_confidence" in (output / "README.md").read_text()
    answers = SampleCNNAudioClassificationPipeline.from_pretrained(output)(str(write_tone()))
    assert {answer["label"] for answer in answers} == set(TONES)


def test_an_error_of_a_source_is_one_line(toy_variant, toy_source, options, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match="error: .* has no files such as train/high/0.wav: give the folder"):
        train.main([*options, f"--data_dir={tmp_path / 'empty'}", f"--output_dir={tmp_path / 'run'}"])


def test_an_experiment(toy_variant, toy_experiment, toy_recipe, options, tmp_path):
    toy_recipe.write_text(RECIPE.replace("toy-se", "se-8"))  # the family; the experiment names its networks
    folders = [f"--runs_dir={tmp_path / 'runs'}", f"--output_dir={tmp_path / 'results'}"]
    experiments.main(["toy_experiment", "--source=folder", "--seeds=1", "--wide", *options, *folders])
    (page,) = (tmp_path / "results").rglob("toy_experiment.md")
    assert "Toy: width of the squeeze" in page.read_text() and "| 0.2500 |" in page.read_text()
    assert page.with_suffix(".png").is_file()
