"""The loop: metrics, stages and extreme values; runs that are interrupted, damaged, started twice or out of space."""

import json
import pickle
import resource
import shutil
from pathlib import Path

import pytest
import torch

from samplecnn_hf import SampleCNNFeatureExtractor, SampleCNNForAudioClassification
from tests.training.options import without
from training import evaluate, train
from training.data import load_source
from training.loop import checkpoint
from training.loop.metrics import loss_function
from training.loop.training_run import TrainingRun
from training.recipe import parse_recipe

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
    options = [*without(tiny_run, "schedule", "average_decay"), "--schedule=plateau", "--plateau_patience=2"]
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
        losses += [
            float(loss_function(x[None], y[None], source.multi_label)) for x, y in zip(logits, targets, strict=True)
        ]
    assert validation["segment_loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-3)


def test_run_that_diverges_is_not_published(tiny_run, tmp_path):
    with pytest.raises(SystemExit, match="the loss is not finite"):
        train.main([*tiny_run, "--learning_rate=1e30"])
    assert not (tmp_path / "run").exists()


ROOT = Path(__file__).parents[3]


def interrupt(*arguments, **keywords):
    raise KeyboardInterrupt


@pytest.fixture
def interrupted(tiny_run, tmp_path, monkeypatch):
    """interrupted(*options, after=2): the options of a run that was interrupted after so many epochs."""

    def interrupted(*options, after=2):
        whole = TrainingRun.train_epoch

        def train_epoch(run, rates):
            return interrupt() if len(run.history) == after else whole(run, rates)

        with monkeypatch.context() as context:
            context.setattr(TrainingRun, "train_epoch", train_epoch)
            with pytest.raises(SystemExit, match="interrupted: the same command with --resume continues"):
                train.main([*tiny_run, *options])
        return [*tiny_run, *options]

    return interrupted


def results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


PLATEAU = ("--optimizer=sgd", "--schedule=plateau", "--average_decay=0", "--plateau_patience=1", "--plateau_reload")


PLATEAU += ("--monitor=segment_loss", "--learning_rate_decay=0.01")


@pytest.mark.parametrize("options", [(), PLATEAU], ids=["cosine", "plateau"])
@pytest.mark.parametrize("after", [1, 2])
def test_resumed_run_is_the_uninterrupted_one(tiny_run, interrupted, tmp_path, options, after):
    whole = tmp_path / "whole"
    train.main([*without(tiny_run, "output_dir"), *options, f"--output_dir={whole}"])
    train.main([*interrupted(*options, after=after), "--resume"])
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    histories = [results(folder)["history"] for folder in (whole, tmp_path / "run")]
    for record in sum(histories, []):
        record.pop("seconds")
    assert histories[0] == histories[1] and len(histories[0]) == 3


@pytest.mark.parametrize("after", [0, 1, "preparation"])
def test_interrupted_overwriting_goes_on_with_the_new_run(tiny_run, interrupted, tmp_path, monkeypatch, after, capsys):
    train.main(tiny_run)
    old = (tmp_path / "run" / "model.safetensors").read_bytes()
    if after == "preparation":
        with monkeypatch.context() as context:
            context.setattr("training.loop.run.load_data", interrupt)
            with pytest.raises(SystemExit, match="interrupted"):
                train.main([*tiny_run, "--seed=1", "--overwrite"])
    else:
        interrupted("--seed=1", "--overwrite", after=after)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == old
    with pytest.raises(SystemExit, match="run was trained with --seed 1, not 0"):
        train.main([*tiny_run, "--resume"])
    capsys.readouterr()
    train.main([*tiny_run, "--seed=1", "--resume"])
    assert "finished already" not in capsys.readouterr().out
    assert (tmp_path / "run" / "model.safetensors").read_bytes() != old
    assert results(tmp_path / "run")["recipe"]["seed"] == 1 and not (tmp_path / "run.unfinished").exists()


def test_finished_run_with_other_options_is_not_taken_for_this_one(tiny_run):
    train.main([*tiny_run, "--num_epochs=1"])
    with pytest.raises(SystemExit, match="run was trained with --num_epochs 1, not 3: give the same options"):
        train.main([*tiny_run, "--resume"])


def test_finished_run_on_other_data_of_the_same_name_is_not_taken_for_this_one(tiny_run, tones, tmp_path):
    train.main([*tiny_run, "--num_epochs=1"])
    other = tmp_path / "elsewhere" / tones.name
    shutil.copytree(tones, other)
    table = other / "train.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(SystemExit, match="was trained on other clips than .*elsewhere"):
        train.main([*without(tiny_run, "data_dir"), f"--data_dir={other}", "--num_epochs=1", "--resume"])


def test_bad_data_leave_the_old_model_finished(tiny_run, tones, tmp_path, capsys):
    train.main([*tiny_run, "--num_epochs=1"])
    with pytest.raises(SystemExit, match="nowhere is not a folder"):
        train.main([*without(tiny_run, "data_dir"), "--data_dir=nowhere", "--overwrite"])
    train.main([*tiny_run, "--num_epochs=1", "--resume"])
    assert capsys.readouterr().out.endswith("finished already\n")
    assert not (tmp_path / "run.unfinished").exists()


class Bomb:
    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_no_pickle_is_written_or_read(tiny_run, interrupted, tmp_path):
    options = interrupted()
    work = tmp_path / "run.unfinished"
    suffixes = {path.suffix for path in work.rglob("*") if path.is_file()}
    assert suffixes == {".json", ".lock", ".safetensors", ""}
    assert {path.name for path in work.rglob("*") if path.is_file() and not path.suffix} == {"SHA256SUMS"}
    planted = ("custom_checkpoint_0.pkl", "random_states_0.pkl", "optimizer.bin", "scheduler.bin", "pytorch_model.bin")
    for folder in (work, work / "checkpoint-0002", *work.glob("kept-*")):
        for name in planted:
            (folder / name).write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    train.main([*options, "--resume"])
    assert not (tmp_path / "exploded").exists()
    assert not [path for path in (tmp_path / "run").rglob("*") if path.suffix in (".pkl", ".bin", ".pt", ".pth")]


def test_pretrained_pickle_is_not_read(tiny_run, tmp_path):
    train.main([*tiny_run, "--num_epochs=1"])
    (tmp_path / "run" / "model.safetensors").unlink()
    (tmp_path / "run" / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    options = [*without(tiny_run, "variant", "output_dir"), f"--output_dir={tmp_path / 'tuned'}"]
    with pytest.raises(SystemExit, match="error: .*model.safetensors"):
        train.main([*options, f"--pretrained={tmp_path / 'run'}"])
    assert not (tmp_path / "exploded").exists()


def truncate(path: Path):
    path.write_bytes(path.read_bytes()[:-7])


def empty(path: Path):
    path.write_bytes(b"")


def edit_state(**changes):
    """Well-formed, with the right sums, but not what a run has written."""

    def edit(folder: Path):
        tensors, state = checkpoint.read(folder)
        shutil.rmtree(folder)
        checkpoint.write(folder, tensors, {**state, **changes})

    return edit


def drop_tensors(prefix: str):
    def drop(folder: Path):
        tensors, state = checkpoint.read(folder)
        shutil.rmtree(folder)
        checkpoint.write(folder, {name: x for name, x in tensors.items() if not name.startswith(prefix)}, state)

    return drop


DAMAGE = {
    "weights cut": ("checkpoint-0002/tensors.safetensors", truncate),
    "weights empty": ("checkpoint-0002/tensors.safetensors", empty),
    "weights gone": ("checkpoint-0002/tensors.safetensors", Path.unlink),
    "state cut": ("checkpoint-0002/state.json", truncate),
    "sums empty": ("checkpoint-0002/SHA256SUMS", empty),
    "kept cut": ("kept-0002/tensors.safetensors", truncate),
    "kept gone": ("kept-0002", shutil.rmtree),
    "history": ("checkpoint-0002", edit_state(history=5)),
    "no history": ("checkpoint-0002", edit_state(history=[])),
    "records": ("checkpoint-0002", edit_state(history=[{}])),
    "random": ("checkpoint-0002", edit_state(random=[])),
    "random numbers": ("checkpoint-0002", edit_state(random=[{"python": [3, [], None]}])),
    "labels": ("checkpoint-0002", edit_state(labels=["a"])),
    "optimizer": ("checkpoint-0002", drop_tensors("optimizer.0.exp_avg_sq")),
    "weight": ("checkpoint-0002", drop_tensors("model.classifier")),
    "average": ("checkpoint-0002", drop_tensors("average.")),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_checkpoint_is_one_line(interrupted, tmp_path, name):
    options = interrupted("--keep=last")
    path, spoil = DAMAGE[name]
    spoil(tmp_path / "run.unfinished" / path)
    with pytest.raises(SystemExit) as error:
        train.main([*options, "--resume"])
    message = str(error.value)
    assert message.startswith("error: ") and "\n" not in message and path.partition("/")[0] in message
    assert "start again with --overwrite" in message or "give the same data" in message


@pytest.mark.parametrize(
    "file, content",
    [("model.safetensors", b"\x09"), ("config.json", b"[]"), ("config.json", b'{"num_blocks": "many"}')]
    + [("config.json", b""), ("preprocessor_config.json", b'{"segment_length": "x"}')]
    + [("preprocessor_config.json", b"{"), ("model.safetensors", None)],
)
def test_damaged_network_is_one_line(tiny_run, tmp_path, file, content, pretrained):
    path = pretrained / file
    path.write_bytes(path.read_bytes()[:-99] if content is None else content)
    evaluation = [str(pretrained), *(option for option in tiny_run if option.startswith(("--source", "--data")))]
    for main, options in (
        (train.main, [*without(tiny_run, "variant"), f"--pretrained={pretrained}"]),
        (evaluate.main, evaluation),
    ):
        with pytest.raises(SystemExit, match="^error: ") as error:
            main(options)
        assert "\n" not in str(error.value) and str(pretrained) in str(error.value)
    assert not (tmp_path / "run.unfinished").exists()


def limit_file_size(size: int):
    """No file, pytest's own output included, can grow beyond it."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.mark.parametrize("method", ["save_kept", "save_checkpoint", "kept_model"])
def test_full_disk(tiny_run, tmp_path, monkeypatch, method):
    """While the second epoch is written, or the model; then there is room again."""
    whole = getattr(TrainingRun, method)

    def write(run):
        if len(run.history) < 2:
            return whole(run)
        result = whole(run) if method == "kept_model" else None  # it is written next
        limit_file_size(2**14)
        return result if method == "kept_model" else whole(run)

    with monkeypatch.context() as context:
        context.setattr(TrainingRun, method, write)
        try:
            with pytest.raises(SystemExit, match="^error: cannot write to .*; fix this, then continue with"):
                train.main(tiny_run)
        finally:
            limit_file_size(resource.RLIM_INFINITY)
    left = {path.name for path in (tmp_path / "run.unfinished").iterdir()}
    assert all(name.startswith(("checkpoint", "kept", "run.json", "samplecnn-run.lock")) for name in left)
    assert not (tmp_path / "run").exists()
    train.main([*tiny_run, "--resume"])
    whole_run = [*without(tiny_run, "output_dir"), f"--output_dir={tmp_path / 'whole'}"]
    train.main(whole_run)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (
        tmp_path / "whole" / "model.safetensors"
    ).read_bytes()


@pytest.mark.parametrize("name", ["caf\udce9", "two\nlines", "bell\a", "x" * 300, "a\u2028b", "a\0b"])
def test_names_that_no_card_can_hold_are_found_before_training(tiny_run, tmp_path, monkeypatch, name):
    monkeypatch.setattr(TrainingRun, "fit", interrupt)
    with pytest.raises(SystemExit, match="^error: .*(must be one line of UTF-8 text|File name too long)"):
        train.main([*without(tiny_run, "output_dir"), f"--output_dir={tmp_path / name}"])
    assert not [path for path in tmp_path.iterdir() if path.name != "tones"]


@pytest.mark.parametrize("name", ["a b", "---", "null", "{{ x }} naïve: #1 <b> '\" `100%`"])
def test_names_that_are_unusual(tiny_run, tmp_path, name):
    train.main([*without(tiny_run, "output_dir", "num_epochs"), f"--output_dir={tmp_path / name}", "--num_epochs=1"])
    assert results(tmp_path / name)["recipe"]["output_dir"] == name


def test_data_are_not_overwritten(tiny_run, tones):
    content = {path: path.read_bytes() for path in tones.rglob("*") if path.is_file()}
    for output_dir in (tones, tones.parent):
        with pytest.raises(SystemExit, match="is in .*, which the run replaces: choose another --output_dir"):
            train.main([*without(tiny_run, "output_dir"), f"--output_dir={output_dir}", "--overwrite"])
    assert {path: path.read_bytes() for path in tones.rglob("*") if path.is_file()} == content


def test_validation_that_is_not_finite_is_not_published(tiny_run, tmp_path, monkeypatch):
    whole = TrainingRun.train_epoch

    def train_epoch(run, rates):
        loss = whole(run, rates)
        next(run.evaluated_model.buffers()).fill_(torch.nan)
        return loss

    monkeypatch.setattr(TrainingRun, "train_epoch", train_epoch)
    with pytest.raises(SystemExit, match="the loss is not finite"):
        train.main(tiny_run)
    assert not (tmp_path / "run").exists()
