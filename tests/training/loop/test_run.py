"""Runs from the recipe to the finished folder."""

import json
from pathlib import Path

import pytest
from transformers import pipeline

from samplecnn_hf import SampleCNNForAudioClassification
from tests.training.options import without
from training import train
from training.synthetic.sources import SYNTHETIC_SOURCES, SyntheticSource


def test_run_ends_in_a_folder_that_the_pipeline_loads(tiny_run, tones, tmp_path, capsys):
    train.main([*tiny_run, "--num_epochs=30", "--batch_norm_momentum=0.1", "--mixup=0"])
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["test"]["accuracy"] == 1.0

    folder = tmp_path / "run"
    assert not (tmp_path / "run.unfinished").exists()
    assert list(folder.glob("*.safetensors")) and not list(folder.glob("*.bin")) and not list(folder.glob("*.pkl"))
    classifier = pipeline("audio-classification", model=str(folder), trust_remote_code=True)
    assert classifier(str(tones / "low" / "test0.wav"), top_k=1)[0]["label"] == "low"

    results = json.loads((folder / "results.json").read_text())
    assert results["labels"] == ["high", "low", "middle"]
    assert results["clips"] == {"train": 36, "validation": 12, "test": 12}
    assert results["metrics"]["test"] == summary["test"]
    assert len(results["history"]) == 30
    assert results["parameters"] == SampleCNNForAudioClassification.from_pretrained(folder).num_parameters()
    low, high = results["interval"]["test"]
    assert low <= results["metrics"]["test"]["accuracy"] <= high
    assert results["giga_macs"] > 0 and results["segments_per_second"] > 0


def test_all_clips_for_training(tiny_run, folds, tmp_path, capsys):
    """No clip is held out, so there are no scores and no best epoch."""
    options = [*tiny_run, "--source=folder-all", "--num_epochs=2"]
    with pytest.raises(SystemExit, match="folder-all has no validation clips: set --keep last --schedule cosine"):
        train.main(options)
    train.main([*options, "--keep=last"])
    lines = capsys.readouterr().out.splitlines()
    assert "train loss" in lines[1] and "validation" not in lines[1]
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["clips"] == {"train": 60} and results["metrics"] == {} and results["kept_epoch"] == 2
    card = (tmp_path / "run" / "README.md").read_text()
    assert "trained on all clips; none were held out to score it" in card and "high, low, middle" in card


def test_all_clips_of_keywords_for_training(tiny_run, folds, tmp_path):
    """There are no clips to tune the threshold of a keyword spotter on."""
    (folds / "high").rename(folds / "_silence_")
    (folds / "low").rename(folds / "_unknown_")
    train.main(
        [*tiny_run, "--source=folder-all", "--model_kwargs=sampling_rate=4000", "--num_epochs=1", "--keep=last"]
    )
    assert "detection" not in json.loads((tmp_path / "run" / "results.json").read_text())
    assert SampleCNNForAudioClassification.from_pretrained(tmp_path / "run").config.thresholds is None


def test_resume_with_other_options_is_refused(tiny_run, tmp_path, monkeypatch, capsys):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr("training.loop.run.collect_results", interrupt)
        with pytest.raises(SystemExit, match="interrupted: the same command with --resume continues"):
            train.main(tiny_run)
    with pytest.raises(SystemExit, match="holds an interrupted run: --resume it, or --overwrite it"):
        train.main(tiny_run)
    with pytest.raises(SystemExit, match="run was trained with --seed 0, not 1: give the same options to resume"):
        train.main([*tiny_run, "--resume", "--seed=1"])
    train.main([*tiny_run, "--resume"])
    written = (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns
    train.main([*tiny_run, "--resume"])
    assert capsys.readouterr().out.endswith("run is finished already\n")
    assert (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns == written


def test_several_labels_a_clip(tiny_run, write_chords, tmp_path, capsys, monkeypatch):
    """With the data made by `--synthetic`."""
    monkeypatch.setitem(SYNTHETIC_SOURCES, "magnatagatune-26k", SyntheticSource(write_chords, num_epochs=30))
    data = tmp_path / "chords"
    options = [*tiny_run, "--source=magnatagatune-26k", "--synthetic", f"--data_dir={data}", "--num_epochs=30"]
    train.main([*options, "--mixup=0", "--batch_norm_momentum=0.1"])
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["metric"] == "roc_auc" and results["metrics"]["test"]["roc_auc"] > 0.95
    assert [row["positives"] for row in results["per_label"]["test"]] == [4, 4, 4]
    assert results["unscored_labels"] == {"validation": [], "test": []}
    config = SampleCNNForAudioClassification.from_pretrained(tmp_path / "run").config
    assert len(config.thresholds) == 3 and results["metrics"]["validation"]["f1_samples@tuned"] > 0.9
    classifier = pipeline("audio-classification", model=str(tmp_path / "run"), trust_remote_code=True)
    answer = classifier(str(data / "mp3" / "c" / "clip55.wav"), threshold="tuned")
    assert {label["label"] for label in answer} == {"high", "low", "middle"}
    assert "**Synthetic data**" in (tmp_path / "run" / "README.md").read_text()


def test_fine_tuning_keeps_the_body_and_takes_the_new_labels(tiny_run, tones, tmp_path):
    train.main(tiny_run)
    (tones / "low").rename(tones / "deep")
    for split in ("train", "validation", "test"):
        table = tones / f"{split}.csv"
        table.write_text(
            "\n".join(line for line in table.read_text().replace("low", "deep").splitlines() if "middle" not in line)
        )
    options = without(without(tiny_run, "output_dir", "learning_rate"), "variant")
    train.main(
        [*options, f"--output_dir={tmp_path / 'tuned'}", f"--pretrained={tmp_path / 'run'}", "--learning_rate=1e-9"]
    )
    tuned = SampleCNNForAudioClassification.from_pretrained(tmp_path / "tuned")
    recipe = json.loads((tmp_path / "tuned" / "results.json").read_text())["recipe"]
    assert recipe["variant"] is None and recipe["pretrained"] == "run"  # not where it is on this machine
    original = SampleCNNForAudioClassification.from_pretrained(tmp_path / "run")
    assert tuned.config.id2label == {0: "deep", 1: "high"}
    weight = tuned.samplecnn.blocks[0].conv.weight
    assert weight.sub(original.samplecnn.blocks[0].conv.weight).abs().max() < 1e-6


def write_text(path: Path):
    path.write_text("this is not audio\n" * 100)


def write_half(path: Path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    "spoil, problem",
    [(write_text, "cannot be read as audio"), (write_half, "is truncated"), (Path.unlink, "is missing")],
)
def test_bad_audio_is_left_out_and_reported(tiny_run, tones, tmp_path, capsys, spoil, problem):
    spoil(tones / "low" / "train0.wav")
    train.main([*tiny_run, "--num_epochs=1"])
    first, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("warning: left out 1 of 36 train clips") and "low/train0.wav" in first and problem in first
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["clips"]["train"] == 35
    assert results["clips_left_out"] == {"train": 1, "validation": 0, "test": 0}


def test_existing_output_folder_is_kept(tiny_run, tmp_path):
    train.main([*tiny_run, "--num_epochs=1"])
    with pytest.raises(SystemExit, match="exists: choose another --output_dir, or --overwrite it"):
        train.main(tiny_run)
    train.main([*tiny_run, "--overwrite"])
    assert len(json.loads((tmp_path / "run" / "results.json").read_text())["history"]) == 3

    (tmp_path / "run" / "results.json").unlink()  # what marks it
    with pytest.raises(SystemExit, match="run was not created by a training run: move it away"):
        train.main([*tiny_run, "--overwrite"])
    assert (tmp_path / "run" / "model.safetensors").exists()
