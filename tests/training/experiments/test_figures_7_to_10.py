"""Analyses of trained networks, from their commands to their files and the report."""

import argparse
import json
import re

import numpy as np
import pytest
from safetensors.numpy import load_file

from samplecnn_hf import SampleCNNFeatureExtractor, SampleCNNForAudioClassification, create_config
from samplecnn_hf.analysis import ClipExcitations, ExcitationRecorder, estimate_filters
from tests.conftest import with_labels
from training.data.sources import folder
from training.errors import DataError
from training.experiments import __main__ as experiments
from training.experiments.figures import figure_10

LABELS = ["high", "low", "middle"]


@pytest.fixture
def save_model(make_model, tmp_path, tones):
    """save_model("name", variant, results=True): a network of the tones' labels; returns its folder."""

    def save(name="net", variant="test-se", results=True, labels=LABELS, **overrides):
        path = tmp_path / name
        make_model(variant, **with_labels(labels), **overrides).save_pretrained(path)
        SampleCNNFeatureExtractor(segment_length=1458).save_pretrained(path)
        if results:
            recipe = {"source": "folder", "data_dir": str(tones)}
            (path / "results.json").write_text(json.dumps({"source": "folder", "recipe": recipe, "synthetic": True}))
        return str(path)

    return save


@pytest.fixture
def analyse(run, tmp_path):
    """analyse("figure_8", *options): the result that the command wrote."""
    folders = [f"--runs_dir={tmp_path / 'experiments'}", f"--cache_dir={tmp_path / 'cache'}"]
    return lambda name, *options: run(name, *options, *folders)


def files(tmp_path, data):
    return tmp_path / "experiments" / "results" / data


def clips_of(tones, model):
    """Each test clip's excitations and label, without the commands' machinery."""
    network = SampleCNNForAudioClassification.from_pretrained(model)
    record = ExcitationRecorder(network, SampleCNNFeatureExtractor.from_pretrained(model))
    for clip in folder.load(tones).splits["test"]:
        yield record(clip.path, None), clip.labels[0]


# From the command to the files


def test_filters(analyse, save_model, tmp_path, capsys):
    first, second = save_model("a", "test-basic"), save_model("b", "test-se")
    result = analyse("figure_7", first, second, "--layers=1-2", "--seed=3")
    rows = result["tables"]["figure_7"]
    assert [(row["model"], row["layer"]) for row in rows] == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
    expected = estimate_filters(SampleCNNForAudioClassification.from_pretrained(second), 2, seed=3)
    quartiles = [value for name, value in rows[3].items() if name.startswith("peak")]
    assert quartiles == pytest.approx(np.percentile(expected.peak_frequencies, (25, 50, 75)), abs=0.5)
    assert rows[3]["filters"] == len(expected.waveforms) and 0 <= rows[3]["log-likeness"] <= 1
    written = files(tmp_path, "a+b")
    waveforms = load_file(written / "figure_7.safetensors")["b/2"]
    np.testing.assert_allclose(waveforms, expected.waveforms, rtol=1e-3, atol=1e-6)
    picture = (written / "figure_7.svg").read_text()
    assert "a, layer 1" in picture and "b, layer 2" in picture
    assert (written / "figure_7.png").read_bytes().startswith(b"\x89PNG")
    assert (written / "figure_7.csv").read_text().splitlines()[0].endswith(",paper,data,what,quick,date,command")
    assert "network a (trained on synthetic clips); network b (trained on synthetic clips)." in capsys.readouterr().out


def test_deviations_of_several_networks(analyse, save_model, tones, tmp_path):
    models = [save_model("speech"), save_model("music", "test-rese2")]
    result = analyse("figure_8", *models)
    rows = result["tables"]["figure_8"]
    assert result["what"].count("hearing 12 clips of the test split of tones") == 2
    for name, model in zip(("speech", "music"), models, strict=True):
        clips = list(clips_of(tones, model))
        for row in (row for row in rows if row["model"] == name):
            means = [
                np.mean(
                    [clip.excitations[row["block"] - 1].mean(0) for clip, heard in clips if heard == label], axis=0
                )
                for label in range(3)
            ]
            expected = np.std(means, axis=0).mean()
            assert row["standard deviation"] == pytest.approx(expected, rel=0.01, abs=1e-6)
    assert rows[0]["paper"] == "high for music alone"
    assert all(name in (files(tmp_path, "speech+music") / "figure_8.svg").read_text() for name in ("speech", "music"))


def test_excitations_of_classes(analyse, save_model, tones, tmp_path):
    model = save_model()
    rows = analyse("figure_9", model)["tables"]["figure_9"]
    levels = {label: [] for label in LABELS}
    for clip, label in clips_of(tones, model):
        levels[LABELS[label]].append(clip.rms.mean())
    levels = {label: np.mean(values) for label, values in levels.items()}
    assert [row["class"] for row in rows] == sorted(levels, key=levels.get)
    assert [row["RMS"] for row in rows] == pytest.approx(sorted(levels.values()), rel=1e-3)
    assert [row["paper"] for row in rows] == ["highest excitation", None, "lowest excitation"]
    excitations = load_file(files(tmp_path, "net") / "figure_9.safetensors")["excitations"]
    assert excitations.mean(1) == pytest.approx([row["mean excitation of block 1"] for row in rows])

    chosen = analyse("figure_9", model, "--classes", "low", "high")["tables"]["figure_9"]
    assert {row["class"] for row in chosen} == {"low", "high"} and len(chosen) == 2


def test_loudness(analyse, save_model, tones, tmp_path):
    model = save_model()
    result = analyse("figure_10", model, "--split=train", "--max_clips=9")
    assert "hearing 9 of 36 clips of the train split of tones" in result["what"]
    rows = result["tables"]["figure_10"]
    dots = load_file(files(tmp_path, "net") / "figure_10.safetensors")
    assert len(rows) == len(dots["magnitudes"]) == create_config("test-se").num_blocks
    for row, magnitudes, excitations in zip(rows, dots["magnitudes"], dots["excitations"], strict=True):
        assert row["segments"] == len(dots["rms"]) >= 9
        for values, r in ((magnitudes, "r of magnitude and RMS"), (excitations, "r of excitation and RMS")):
            if np.ptp(values) == 0:
                assert row[r] is None
            else:
                assert row[r] == pytest.approx(np.corrcoef(values, dots["rms"])[0, 1], abs=1e-3)
    assert (rows[0]["paper: magnitude"], rows[0]["paper: excitation"]) == ("rises strongly", "falls")


def test_the_report_shows_them(analyse, save_model, tmp_path):
    model = save_model()
    for name in ("figure_8", "figure_9", "figure_10"):
        analyse(name, model, "--quick")
    analyse("figure_7", model, "--layers=1")
    experiments.main(["report", f"--runs_dir={tmp_path / 'experiments'}"])
    text = (tmp_path / "experiments" / "results" / "report.html").read_text()
    assert text.count("<svg") == 4 and "<td>lowest excitation</td>" in text
    assert "QUICK CHECK, scores mean nothing: network net-quick (trained on synthetic clips), hearing 12 clips" in text
    assert "runs are done" not in text


@pytest.mark.slow
def test_networks_of_a_task_are_trained_once(analyse, on_chords, tmp_path, monkeypatch):
    options = [*(option for option in on_chords if not option.startswith(("--seeds", "--cache_dir"))), "--quick"]
    result = analyse("figure_8", *options)
    name = "magnatagatune-synthetic-quick"
    assert {row["model"] for row in result["tables"]["figure_8"]} == {name}
    assert "synthetic clips of the" in result["what"] and result["quick"]
    assert (tmp_path / "experiments" / name / "se-9-seed0" / "model.safetensors").is_file()
    monkeypatch.setattr("training.experiments.grid.train", None)  # nothing is trained again
    assert analyse("figure_10", *options)["tables"]["figure_10"]


@pytest.mark.slow
def test_the_fold_that_was_held_out(analyse, on_tones, tones, folds, tmp_path):
    options = [option for option in on_tones if not option.startswith(("--seeds", "--cache_dir", "--runs_dir"))]
    result = analyse("figure_8", *options, "--folds")
    assert "hearing 21 clips of the validation split of tones" in result["what"]  # the first fold
    network = tmp_path / "experiments" / "tones" / "se-8-fold1"
    assert list(network.parent.iterdir()) == [network]  # the other folds were not trained
    # results.json does not tell where the data are on this machine
    message = f"{network} was trained on tones, which is not here: give its place with --data_dir"
    with pytest.raises(SystemExit, match=re.escape(message)):
        analyse("figure_9", str(network))
    result = analyse("figure_9", str(network), f"--data_dir={tones}")
    assert "hearing 21 clips of the validation split of tones" in result["what"]


# What is refused, in one line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["figure_8", "--tasks=dcase2017"], "--tasks is for networks that are trained here; leave it out with MODEL"),
        (["figure_8", "--folds"], "--folds is for networks that are trained here; leave it out with MODEL"),
        (["figure_8", "--source=folder"], "--data_dir is missing"),
        (["figure_8", "--data_dir=missing"], "missing is not a folder: give the folder that holds the data"),
        (["figure_9", "--classes", "dog"], "net knows no class 'dog'; it knows high, low, middle"),
        (["figure_10", "--max_clips=0"], "--max_clips must be at least 1; got 0"),
        (["figure_7", "--data_dir=missing"], "--data_dir is for networks that are trained here"),
        (["figure_7", "--layers=2-9"], "net has 6 layers; --layers asks for layer 9"),
    ],
)
def test_refused(options, message, save_model, tmp_path):
    name, *options = options
    refusal(name, save_model(), *options, tmp_path=tmp_path, message=message)


def refusal(*command, tmp_path, message):
    with pytest.raises(SystemExit) as refused:
        experiments.main([*command, f"--runs_dir={tmp_path / 'experiments'}", f"--cache_dir={tmp_path / 'cache'}"])
    assert str(refused.value).startswith("error: ") and message in str(refused.value)
    assert "\n" not in str(refused.value) and not (tmp_path / "experiments").exists()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            {"variant": "test-basic"},
            "has basic blocks, which have no excitations: give a network of se, rese1 or rese2",
        ),
        ({"results": False}, "net has no results.json that tells its data: give --source and --data_dir"),
        ({"labels": ["high", "middle", "low"]}, "are not those of"),
    ],
)
@pytest.mark.parametrize("name", ["figure_8", "figure_9", "figure_10"])
def test_networks_that_cannot_be_looked_at(name, model, message, save_model, tmp_path):
    refusal(name, save_model(**model), tmp_path=tmp_path, message=message)


def test_a_single_segment():
    clip = ClipExcitations(np.ones(1), (np.ones((1, 4)),), (np.ones((1, 4)),))
    subject = argparse.Namespace(excitations=lambda: [(clip, [0])], sounds="1 of 9 clips")
    with pytest.raises(DataError, match="1 of 9 clips: a correlation needs at least two segments: give more clips"):
        figure_10.analyse(subject, argparse.Namespace())


def test_names_of_networks(save_model, tmp_path):
    twice = [save_model("a/net"), save_model("b/net")]
    refusal("figure_8", *twice, tmp_path=tmp_path, message="two models have the name net")
    refusal("figure_8", str(tmp_path / "none"), tmp_path=tmp_path, message="there is no model in")
