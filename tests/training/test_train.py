import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from transformers import pipeline

from samplecnn_hf import SampleCNNFeatureExtractor, SampleCNNForAudioClassification
from training import evaluate, train
from training.data import load_source
from training.loop.metrics import loss_function
from training.loop.training_run import TrainingRun
from training.recipe import parse_recipe
from training.synthetic.sources import SYNTHETIC_SOURCES, SyntheticSource

ROOT = Path(__file__).parents[2]


def run_command(options: list[str], **kwargs) -> subprocess.CompletedProcess:
    """The script as a user starts it."""
    command = [sys.executable, "training/train.py", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **kwargs)


def without(options: list[str], name: str) -> list[str]:
    return [option for option in options if not option.startswith(f"--{name}=")]


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


def test_evaluate_finds_the_numbers_of_the_run_again(tiny_run, tones, tmp_path, capsys):
    train.main(tiny_run)
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    capsys.readouterr()
    cache = ["--cache_dir", str(tmp_path / "cache")]
    evaluate.main([str(tmp_path / "run"), "--source=folder", f"--data_dir={tones}", "--split=validation", *cache])
    *table, line = capsys.readouterr().out.splitlines()
    measured = json.loads(line)
    assert table[0].startswith("| label | clips |") and [row.split(" | ")[0] for row in table[2:]] == [
        "| high",
        "| low",
        "| middle",
    ]
    assert measured["clips"] == 12
    assert measured["accuracy"] == results["metrics"]["validation"]["accuracy"]
    assert measured["loss"] == pytest.approx(results["metrics"]["validation"]["loss"], abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_killed_and_resumed_run_ends_with_the_same_weights(tiny_run, tmp_path, schedule):
    options = [*without(tiny_run, "schedule"), f"--schedule={schedule}"]
    train.main(options)
    expected = (tmp_path / "run" / "model.safetensors").read_bytes()
    kept_epoch = json.loads((tmp_path / "run" / "results.json").read_text())["kept_epoch"]

    options = [*without(options, "output_dir"), f"--output_dir={tmp_path / 'again'}"]
    process = subprocess.Popen([sys.executable, "training/train.py", *options], cwd=ROOT, stdout=subprocess.PIPE)
    checkpoint = tmp_path / "again.unfinished" / "checkpoint-0001"
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert checkpoint.parent.exists(), "the run ended before it could be killed"
    assert not (tmp_path / "again").exists()

    train.main([*options, "--resume"])
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == expected
    assert json.loads((tmp_path / "again" / "results.json").read_text())["kept_epoch"] == kept_epoch


def test_resume_with_other_options_is_refused(tiny_run, tmp_path, monkeypatch, capsys):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(train, "collect_results", interrupt)
        with pytest.raises(SystemExit, match="interrupted: the same command with --resume goes on"):
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


def test_synthetic_data_do_not_mix_with_others(tiny_run, tones):
    with pytest.raises(SystemExit, match="tones was not made by --synthetic"):
        train.main([*tiny_run, "--source=speech_commands", "--synthetic"])


@pytest.mark.slow
def test_two_processes_with_several_labels_and_reloading(tiny_run, write_chords, tmp_path):
    data = write_chords(tmp_path / "chords")
    options = [*without(without(tiny_run, "schedule"), "average_decay"), f"--data_dir={data}"]
    options += ["--source=magnatagatune-26k", "--schedule=plateau", "--plateau_reload", "--plateau_patience=1"]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "training/train.py", *options]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    assert len(SampleCNNForAudioClassification.from_pretrained(tmp_path / "run").config.thresholds) == 3


EXTREMES = ["time_shift=60", "mixup=100", "mixup=0.01", "gain=100", "speed=0.999999", "noise=1", "mean=3e38"]
EXTREMES += [
    "std=1e-38",
    "std=3e38",
    "learning_rate=3e38",
    "learning_rate=1e-300",
    "weight_decay=3e38",
    "seed=2147483647",
]
EXTREMES += [
    "threads=64",
    "warmup_epochs=9999",
    "label_smoothing=0.999999",
    "average_decay=0.999999",
    "dropout=0.999999",
]
EXTREMES += ["batch_norm_momentum=1e-300", "eval_batch_size=65536", "batch_size=65536", "max_segments=1000000"]


@pytest.mark.slow
@pytest.mark.parametrize("extreme", EXTREMES)
def test_extreme_values_train_or_are_one_line(tiny_run, extreme):
    try:
        train.main([*tiny_run, "--num_epochs=1", f"--{extreme}"])
    except SystemExit as ended:
        assert str(ended).startswith("error: ") and "\n" not in str(ended)
    finally:
        torch.set_num_threads(1)


def test_a_new_stage_begins_with_the_best_weights_of_the_last(tiny_run, monkeypatch):
    losses = iter([1, 2, 3, 4, 1.5, 5])
    whole, began, best = TrainingRun.train_epoch, [], {}

    def train_epoch(run, rates):
        weights = {name: value.clone() for name, value in run.evaluated_model.state_dict().items()}
        momentum = sum(state["momentum_buffer"].abs().sum() for state in run.optimizer.state.values())
        began.append((weights, float(momentum), rates[0]))
        return whole(run, rates)

    def validate(run):
        best[len(run.history) + 1] = {name: value.clone() for name, value in run.evaluated_model.state_dict().items()}
        return {"loss": 1.0, "accuracy": 1.0, "segment_loss": next(losses)}

    monkeypatch.setattr(TrainingRun, "train_epoch", train_epoch)
    monkeypatch.setattr(TrainingRun, "validate", validate)
    options = [*without(without(tiny_run, "schedule"), "average_decay"), "--schedule=plateau", "--plateau_patience=2"]
    options += ["--optimizer=sgd", "--monitor=segment_loss", "--plateau_reload", "--num_epochs=6"]
    results = train.train(parse_recipe(options))
    # Epoch 1 is the best of the first stage, which ends with the third; epoch 5 is the best of the second.
    weights, momentum, rate = zip(*began, strict=True)
    assert all(torch.equal(weights[3][name], value) for name, value in best[1].items())
    assert momentum[0] == momentum[3] == 0 and all(momentum[epoch] > 0 for epoch in (1, 2, 4, 5))
    assert rate == pytest.approx([0.01] * 3 + [0.002] * 3)
    assert results["kept_epoch"] == 5


@pytest.mark.parametrize("problem", ["single_label_classification", "multi_label_classification"])
def test_segment_loss_is_the_mean_over_segments(tiny_run, write_chords, tmp_path, problem):
    """Clips have one segment or three: that of the clips' mean scores is another."""
    options = tiny_run
    if problem.startswith("multi"):
        options = [*tiny_run, "--source=magnatagatune-26k", f"--data_dir={write_chords(tmp_path / 'chords')}"]
    train.main([*options, "--num_epochs=1"])
    validation = json.loads((tmp_path / "run" / "results.json").read_text())["history"][0]["validation"]
    model = SampleCNNForAudioClassification.from_pretrained(tmp_path / "run").eval()
    extractor = SampleCNNFeatureExtractor.from_pretrained(tmp_path / "run")
    recipe = parse_recipe(options)
    source = load_source(recipe.source, recipe.data_dir)
    losses = []
    for clip in source.splits["validation"]:
        inputs = extractor(clip.path, return_tensors="pt")
        with torch.no_grad():
            logits = model(**inputs).segment_logits[0]
        targets = torch.zeros_like(logits)
        targets[:, list(clip.labels)] = 1
        losses += [float(loss_function(x[None], y[None], problem)) for x, y in zip(logits, targets, strict=True)]
    assert validation["segment_loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-3)


def test_fine_tuning_keeps_the_body_and_takes_the_new_labels(tiny_run, tones, tmp_path):
    train.main(tiny_run)
    (tones / "low").rename(tones / "deep")
    for split in ("train", "validation", "test"):
        table = tones / f"{split}.csv"
        table.write_text(
            "\n".join(line for line in table.read_text().replace("low", "deep").splitlines() if "middle" not in line)
        )
    options = without(without(without(tiny_run, "output_dir"), "learning_rate"), "variant")
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


def rename_column(path: Path):
    table = path.parents[1] / "train.csv"
    table.write_text(table.read_text().replace("file,class", "file,word"))


@pytest.mark.parametrize(
    "spoil, problem",
    [(write_text, "cannot be read as audio"), (write_half, "is cut off"), (Path.unlink, "is missing")],
)
def test_bad_audio_is_left_out_and_reported(tiny_run, tones, tmp_path, capsys, spoil, problem):
    spoil(tones / "low" / "train0.wav")
    train.main([*tiny_run, "--num_epochs=1"])
    first, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("warning: left out 1 of 36 train clips") and "low/train0.wav" in first and problem in first
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["clips"]["train"] == 35
    assert results["clips_left_out"] == {"train": 1, "validation": 0, "test": 0}


def remove_audio(path: Path):
    for file in path.parents[1].rglob("train*.wav"):
        file.unlink()


@pytest.mark.parametrize(
    "spoil, message",
    [
        (rename_column, "needs the columns file and class"),
        (remove_audio, "none of the 36 train clips can be used"),
    ],
)
def test_bad_data_is_one_clear_line_and_no_folder(tiny_run, tones, tmp_path, spoil, message):
    spoil(tones / "low" / "train0.wav")
    result = run_command(tiny_run)
    assert result.returncode != 0
    lines = [line for line in result.stderr.replace("\r", "\n").splitlines() if "clip/s" not in line and line.strip()]
    assert len(lines) == 1 and lines[0].startswith("error: ") and message in lines[0], lines
    assert not (tmp_path / "run").exists() and not (tmp_path / "run.unfinished").exists()


@pytest.mark.parametrize("model", ["{tmp}/nowhere", "{tmp}/a/b/c"])
def test_model_folder_that_is_not_there(tiny_run, tones, tmp_path, model):
    model = model.format(tmp=tmp_path)
    with pytest.raises(SystemExit, match=f"there is no model in {model}: give the folder"):
        train.main([*without(tiny_run, "variant"), f"--pretrained={model}"])
    with pytest.raises(SystemExit, match=f"there is no model in {model}: give the folder"):
        evaluate.main([model, "--source=folder", f"--data_dir={tones}"])


def test_output_folder_that_cannot_be_made(tiny_run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match="error: cannot write to .*; choose another --output_dir"):
        train.main([*without(tiny_run, "output_dir"), f"--output_dir={tmp_path / 'file' / 'run'}"])


def test_run_that_diverges_is_not_published(tiny_run, tmp_path):
    with pytest.raises(SystemExit, match="the loss is not finite any more"):
        train.main([*tiny_run, "--learning_rate=1e30"])
    assert not (tmp_path / "run").exists()


def test_existing_output_folder_is_kept(tiny_run, tmp_path):
    train.main([*tiny_run, "--num_epochs=1"])
    with pytest.raises(SystemExit, match="exists; choose another --output_dir, or --overwrite it"):
        train.main(tiny_run)
    train.main([*tiny_run, "--overwrite"])
    assert len(json.loads((tmp_path / "run" / "results.json").read_text())["history"]) == 3

    (tmp_path / "run" / "results.json").unlink()  # what marks it
    with pytest.raises(SystemExit, match="run was not made by a training run: move it away"):
        train.main([*tiny_run, "--overwrite"])
    assert (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.slow
def test_two_processes_train_one_model(tiny_run, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "training/train.py", *tiny_run]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode != 0 and "set ACCELERATE_USE_CPU=true" in result.stderr

    environment = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    assert len([line for line in result.stdout.splitlines() if line.startswith('{"output_dir"')]) == 1
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["clips"] == {"train": 36, "validation": 12, "test": 12} and len(results["history"]) == 3
    assert " 0/4 " in result.stderr  # batches an epoch in each process: 78 segments, 2 processes, batches of 8
