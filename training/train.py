"""
Train SampleCNN on a data source; ends in a folder that is ready for the Hub.

    accelerate launch training/train.py --recipe training/recipes/speech_commands/modern.yaml \
        --data_dir data/speech_commands_v0.02 --output_dir runs/speech_commands

- One GPU, several, or a CPU: Accelerate. (GPUs: written, not measured.)
- `--resume` after an interruption ends with the same weights as the run that was not interrupted (on a CPU).
- The folder appears under its name when everything in it is there.
- `--synthetic` makes small data in the layout of the real ones, and trains on them.
"""

import json
import math
import os
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import DataLoaderConfiguration, broadcast, parse_flag_from_env, set_seed
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import get_cosine_schedule_with_warmup
from transformers.utils.logging import disable_progress_bar

from samplecnn_hf import SampleCNNFeatureExtractor, SampleCNNForAudioClassification
from training.augment import Augment
from training.command import errors_in_one_line
from training.data import load_source
from training.data.prepared import prepare, prepared_folder
from training.data.segments import TrainingSegments, to_float
from training.data.source import DataError, Source
from training.data.synthetic import ensure_stand_in
from training.evaluate import check_model_id, evaluation_loader, predict
from training.hardware import prepare_cpu, resolve_precision
from training.hub_folder import write_hub_folder
from training.metrics import compute_metrics, loss_function
from training.recipe import Recipe, RecipeError, parse_recipe
from training.results import collect_results
from training.run_folder import RunFolder

# Options that may differ when a run is resumed: the weights do not depend on them.
MAY_CHANGE = ("recipe", "output_dir", "overwrite", "resume", "cache_dir", "threads", "license", "data_license")


class TrainingRun:
    """The state that changes (network, optimiser, schedule, average, history) and its epochs."""

    def __init__(self, recipe: Recipe, source: Source, folder: RunFolder, accelerator: Accelerator):
        self.recipe, self.source, self.folder, self.accelerator = recipe, source, folder, accelerator
        self.history: list[dict] = []
        model, self.extractor = create_model(recipe, source)
        model.samplecnn.freeze_layers(recipe.freeze)
        self.build_loaders()
        # Biases and norms are not decayed.
        decayed = [p for p in model.parameters() if p.ndim > 1]
        other = [p for p in model.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": other, "weight_decay": 0.0}]
        if recipe.optimizer == "adamw":
            optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
        else:
            optimizer = torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.9, nesterov=True, fused=True)
        self.average = None
        if recipe.average_decay:
            self.average = AveragedModel(model, use_buffers=True).to(accelerator.device)
            accelerator.register_for_checkpointing(self.average)
        self.model, self.optimizer, self.train_loader, self.validation_loader = accelerator.prepare(
            model, optimizer, self.train_loader, self.validation_loader
        )
        self.scheduler = self.create_scheduler(optimizer)
        accelerator.register_for_checkpointing(self.scheduler)

    def build_loaders(self):
        recipe, extractor, num_labels = self.recipe, self.extractor, len(self.source.labels)
        folder = prepared_folder(recipe.cache_dir, self.source.name, recipe.data_dir, extractor.sampling_rate)
        quiet = not self.accelerator.is_local_main_process
        self.clips = prepare(self.source, extractor.sampling_rate, folder, quiet=quiet)
        segments = TrainingSegments(self.clips["train"], num_labels, extractor, recipe.crop)
        if len(segments) < recipe.batch_size * self.accelerator.num_processes:
            raise DataError(f"{len(segments)} training segments do not fill a batch; use a smaller --batch_size")
        # A last batch of one segment would have no variance for the batch norm of the head.
        self.train_loader = DataLoader(segments, batch_size=recipe.batch_size, shuffle=True, drop_last=True)
        self.validation_loader = evaluation_loader(
            self.clips["validation"], num_labels, extractor, recipe.eval_batch_size
        )
        background = None
        if recipe.noise and "background_noise" in self.clips:
            background = to_float(np.concatenate(list(self.clips["background_noise"]))).to(self.accelerator.device)
        self.augment = Augment(recipe, extractor.sampling_rate, background)

    def update_average(self):
        """Exponential moving average whose memory grows with the number of steps, up to `average_decay`."""
        steps = self.average.n_averaged.item()
        decay = min(self.recipe.average_decay, (1 + steps) / (10 + steps))

        def average(averaged: torch.Tensor, current: torch.Tensor, _) -> torch.Tensor:
            return torch.lerp(averaged, current, 1 - decay) if averaged.is_floating_point() else current

        self.average.avg_fn = average
        self.average.update_parameters(self.accelerator.unwrap_model(self.model))

    def create_scheduler(self, optimizer):
        if self.recipe.schedule == "cosine":
            steps = len(self.train_loader)
            return get_cosine_schedule_with_warmup(
                optimizer, round(self.recipe.warmup_epochs * steps), self.recipe.num_epochs * steps
            )
        return torch.optim.lr_scheduler.ReduceLROnPlateau(
            # torch counts the epochs it lets pass, the paper the one it acts on
            optimizer,
            factor=self.recipe.plateau_factor,
            patience=self.recipe.plateau_patience - 1,
            threshold=0.0,
        )

    @property
    def learning_rate(self) -> float:
        return self.optimizer.param_groups[0]["lr"]

    def fit(self):
        """All epochs, from the last checkpoint on if there is one."""
        set_seed(self.recipe.seed, device_specific=True)
        if not self.restore() and self.recipe.warm_statistics:
            self.warm_statistics()
        while not self.finished:
            started = time.perf_counter()
            record = {"epoch": len(self.history) + 1, "learning_rate": self.learning_rate}
            record["train_loss"] = self.train_epoch()
            record["validation"] = self.validate()
            record["seconds"] = round(time.perf_counter() - started, 1)
            self.history.append(record)
            self.save_kept()
            if self.recipe.schedule == "plateau":
                self.step_plateau(record["validation"]["loss"])
            self.save_checkpoint()
            self.report(record)

    def step_plateau(self, loss: float):
        before = self.learning_rate
        self.scheduler.step(loss)
        if self.recipe.plateau_reload and self.learning_rate < before:
            self.accelerator.wait_for_everyone()  # for the best network to be written
            self.evaluated_model.load_state_dict(self.load_kept().state_dict())
            self.optimizer.state.clear()  # the momentum was that of other weights
            self.scheduler.best = math.inf  # each stage has its own patience

    @property
    def finished(self) -> bool:
        cut_to_nothing = self.recipe.schedule == "plateau" and self.learning_rate < self.recipe.min_learning_rate
        return cut_to_nothing or len(self.history) >= self.recipe.num_epochs

    def train_epoch(self) -> float:
        """One pass over the training segments; returns their mean loss."""
        epoch = len(self.history)
        self.model.train()
        self.train_loader.set_epoch(epoch)
        total = torch.zeros((), device=self.accelerator.device)
        progress = tqdm(
            self.train_loader,
            desc=f"epoch {epoch + 1}/{self.recipe.num_epochs}",
            leave=False,
            disable=not self.accelerator.is_local_main_process,
        )
        for step, batch in enumerate(progress):
            loss = self.train_step(batch)
            total += loss
            if step % 10 == 0 and not progress.disable:  # each look waits for the device
                progress.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        mean = self.accelerator.reduce(total, "mean").item() / len(self.train_loader)
        if not math.isfinite(mean):
            raise RecipeError("the loss is not finite any more: lower --learning_rate, or look for extreme samples")
        return mean

    def train_step(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        input_values, labels = self.augment(batch["input_values"], batch["labels"])
        logits = self.model(self.extractor.normalize(input_values)).logits
        loss = loss_function(logits.float(), labels, self.source.problem_type, self.recipe.label_smoothing)
        self.accelerator.backward(loss)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.recipe.schedule == "cosine":
            self.scheduler.step()
        if self.average is not None:
            self.update_average()
        return loss.detach()

    @property
    def evaluated_model(self) -> SampleCNNForAudioClassification:
        """The network that is validated and kept: the averaged one, where there is an average."""
        return self.average.module if self.average is not None else self.accelerator.unwrap_model(self.model)

    def validate(self) -> dict[str, float]:
        for buffer in self.evaluated_model.buffers():  # each process has batch statistics of its own
            broadcast(buffer)
        with self.accelerator.autocast():
            logits, targets = predict(self.evaluated_model, self.validation_loader, self.accelerator)
        return compute_metrics(logits, targets, self.source.problem_type)

    @property
    def kept(self) -> dict:
        """The epoch whose weights are kept: the best so far (by the task's metric, then by the loss), or the last."""
        if self.recipe.keep == "last":
            return self.history[-1]
        metric = self.source.metric
        return max(
            self.history, key=lambda record: (record["validation"].get(metric, 0.0), -record["validation"]["loss"])
        )

    def save_kept(self):
        epoch = len(self.history)
        if self.accelerator.is_main_process and self.kept["epoch"] == epoch:
            self.folder.write(self.folder.kept(epoch), self.evaluated_model.save_pretrained)

    def save_checkpoint(self):
        """Everything that the next epoch depends on, under a name that says how many are done."""
        temporary, checkpoint = self.folder.work / "checkpoint.new", self.folder.checkpoint(len(self.history))
        self.accelerator.save_state(temporary)
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            state = {"recipe": asdict(self.recipe), "history": self.history}
            (temporary / "state.json").write_text(json.dumps(state))
            temporary.rename(checkpoint)
            self.folder.keep_only(checkpoint, self.folder.kept(self.kept["epoch"]))
        self.accelerator.wait_for_everyone()

    def load_kept(self) -> SampleCNNForAudioClassification:
        return SampleCNNForAudioClassification.from_pretrained(self.folder.kept(self.kept["epoch"]))

    def restore(self):
        """Go on from the newest checkpoint, if there is one. Raises `RecipeError` if another recipe made it."""
        checkpoint = self.folder.last_checkpoint()
        if checkpoint is None:
            return False
        state = json.loads((checkpoint / "state.json").read_text())
        for name, value in asdict(self.recipe).items():
            before = state["recipe"].get(name, value)
            if before != value and name not in MAY_CHANGE:
                raise RecipeError(
                    f"the interrupted run had --{name} {before}, not {value}; --resume with the same options, or "
                    "start anew with --overwrite"
                )
        self.accelerator.load_state(checkpoint)
        self.history = state["history"]
        self.accelerator.print(f"resumed after epoch {len(self.history)}")
        return True

    @torch.no_grad()
    def warm_statistics(self):
        """Re-estimate the statistics of all batch norms, of frozen layers too, as averages over one epoch."""
        model = self.accelerator.unwrap_model(self.model)
        norms = [m for m in model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
        momentum = {norm: norm.momentum for norm in norms}
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
            norm.train()
        for batch in self.train_loader:
            with self.accelerator.autocast():
                model(self.extractor.normalize(self.augment(batch["input_values"], batch["labels"])[0]))
        for norm in norms:
            norm.momentum = momentum[norm]
        if self.average is not None:
            self.average.module.load_state_dict(model.state_dict())

    def report(self, record: dict):
        scores = {name: record["validation"].get(name) for name in ("loss", self.source.metric)}
        shown = "  ".join(f"{name} {value:.4f}" for name, value in scores.items() if value is not None)
        self.accelerator.print(
            f"epoch {record['epoch']:3d}  train loss {record['train_loss']:.4f}  validation: {shown}"
            f"  ({record['seconds']:.0f} s)"
        )


def create_model(recipe: Recipe, source: Source):
    """A new network, or one to fine-tune, with its feature extractor."""
    if recipe.pretrained is None:
        config = recipe.create_config(source.labels, source.problem_type)
        return SampleCNNForAudioClassification(config), recipe.create_feature_extractor(config)
    check_model_id(recipe.pretrained)
    model = SampleCNNForAudioClassification.from_pretrained(
        recipe.pretrained,
        id2label=dict(enumerate(source.labels)),
        label2id={label: i for i, label in enumerate(source.labels)},
        problem_type=source.problem_type,
        dropout=recipe.dropout,
        batch_norm_momentum=recipe.batch_norm_momentum,
        ignore_mismatched_sizes=True,
    )
    extractor = SampleCNNFeatureExtractor.from_pretrained(recipe.pretrained)
    recipe.take_over(extractor)
    return model, extractor


def create_accelerator(recipe: Recipe) -> Accelerator:
    """Raises `RecipeError` where several processes were started that do not know of each other."""
    device = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU")).device
    accelerator = Accelerator(
        mixed_precision=resolve_precision(recipe.mixed_precision, device),
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, data_seed=recipe.seed),
    )
    if int(os.environ.get("WORLD_SIZE", 1)) != accelerator.num_processes:
        raise RecipeError(
            "these processes do not know of each other: set ACCELERATE_USE_CPU=true for several on a CPU"
        )
    if accelerator.device.type == "cpu":
        prepare_cpu(accelerator.num_processes, recipe.threads)
    return accelerator


def train(recipe: Recipe, source: Source | None = None) -> dict:
    """
    Run a recipe and write `recipe.output_dir`; returns the results written there as `results.json`.

    Args:
        recipe: all choices of the run. With `resume`, a run that is finished already is left as it is.
        source: the data, where they are not what the recipe's `source` and `data_dir` say.

    Raises:
        RecipeError: an output folder that is in the way or cannot be written.
        DataError: data that cannot be read.
    """
    accelerator = create_accelerator(recipe)
    folder = RunFolder(recipe.output_dir)
    if recipe.resume and folder.results.is_file():
        accelerator.print(f"{recipe.output_dir} is finished already")
        return json.loads(folder.results.read_text(encoding="utf-8"))
    if recipe.synthetic:
        ensure_stand_in(recipe.source, Path(recipe.data_dir))
    source = source or load_source(recipe.source, recipe.data_dir)
    if accelerator.is_main_process:
        folder.open(recipe.overwrite, recipe.resume)
    accelerator.wait_for_everyone()

    try:
        set_seed(recipe.seed)
        run = TrainingRun(recipe, source, folder, accelerator)
        run.fit()
    finally:
        if accelerator.is_main_process:
            folder.close()
    model = run.load_kept().to(accelerator.device)
    results = collect_results(run, model)
    if accelerator.is_main_process:
        folder.finish(lambda path: write_hub_folder(path, model, run.extractor, results))
    summary = {"output_dir": recipe.output_dir, "kept_epoch": results["kept_epoch"], **results["metrics"]}
    accelerator.print(json.dumps(summary))
    return results


def main(argv: list[str] | None = None):
    disable_progress_bar()  # of loading and saving weights
    with errors_in_one_line("the same command with --resume goes on from the last finished epoch"):
        train(parse_recipe(argv))
        Accelerator().end_training()


if __name__ == "__main__":
    main()
