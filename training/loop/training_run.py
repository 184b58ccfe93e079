"""One training run: its network, optimizer, data and history, and the epochs that change them."""

import copy
import math
import time

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, gather_object
from torch.optim.swa_utils import AveragedModel, update_bn
from torch.utils.data import DataLoader
from tqdm import tqdm

from samplecnn_hf import SampleCNNForAudioClassification
from samplecnn_hf.loading import load_for_fine_tuning
from training.data.prepared import prepare
from training.data.segments import TrainingSegments, to_float
from training.data.source import Source
from training.errors import DataError, RecipeError
from training.loop import checkpoint
from training.loop.augment import Augment
from training.loop.evaluation import evaluation_loader, predict
from training.loop.metrics import compute_metrics, loss_function
from training.loop.run_folder import RunFolder
from training.loop.schedule import Schedule
from training.paper import check_paper_counts
from training.recipe import Recipe

DIVERGED = "the loss is not finite any more: lower --learning_rate, or look for extreme samples"
# What the optimizers remember of each parameter.
OPTIMIZER_STATE = {"adamw": {"step", "exp_avg", "exp_avg_sq"}, "sgd": {"momentum_buffer"}}


class TrainingRun:
    """The state that changes (network, optimizer, average, history) and its epochs."""

    def __init__(self, recipe: Recipe, source: Source, folder: RunFolder, accelerator: Accelerator):
        self.recipe, self.source, self.folder, self.accelerator = recipe, source, folder, accelerator
        self.history: list[dict] = []
        model, self.extractor = create_model(recipe, source)
        self.build_loaders()
        if recipe.warm_statistics and folder.last_checkpoint() is None:
            self.warm_statistics(model)
        model.samplecnn.freeze_layers(recipe.freeze)
        self.average = None
        if recipe.average_decay:
            self.average = AveragedModel(model, use_buffers=True).to(accelerator.device)
        self.model, self.optimizer, self.train_loader, self.validation_loader = accelerator.prepare(
            model, create_optimizer(recipe, model), self.train_loader, self.validation_loader
        )
        self.schedule = Schedule(recipe, source.metric, len(self.train_loader))

    def build_loaders(self):
        recipe, extractor, num_labels = self.recipe, self.extractor, len(self.source.labels)
        quiet = not self.accelerator.is_local_main_process
        self.clips = prepare(self.source, extractor.sampling_rate, recipe.cache_dir, quiet=quiet)
        if recipe.paper_counts and not self.source.synthetic:
            check_paper_counts(self.source.name, self.clips)
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

    def warm_statistics(self, model: SampleCNNForAudioClassification):
        """Re-estimate the statistics of all batch norms, also of layers to be frozen, on one epoch of segments."""
        device = self.accelerator.device
        segments = (
            self.augment(batch["input_values"].to(device), batch["labels"].to(device))[0]
            for batch in self.train_loader
        )
        with self.accelerator.autocast():
            update_bn(map(self.extractor.normalize, segments), model.to(device))

    def update_average(self):
        """Exponential moving average whose memory grows with the number of steps, up to `average_decay`."""
        steps = self.average.n_averaged.item()
        decay = min(self.recipe.average_decay, (1 + steps) / (10 + steps))

        def average(averaged: torch.Tensor, current: torch.Tensor, _) -> torch.Tensor:
            return torch.lerp(averaged, current, 1 - decay) if averaged.is_floating_point() else current

        self.average.avg_fn = average
        self.average.update_parameters(self.accelerator.unwrap_model(self.model))

    def fit(self):
        """All epochs, or those after the last checkpoint."""
        while not self.schedule.is_finished(self.history):
            started = time.perf_counter()
            rates = self.schedule.learning_rates(self.history)
            record = {"epoch": len(self.history) + 1, "learning_rate": rates[0]}
            record["train_loss"] = self.train_epoch(rates)
            record["validation"] = self.validate()
            record["seconds"] = round(time.perf_counter() - started, 1)
            self.history.append(record)
            self.save_kept()
            if self.recipe.plateau_reload and self.schedule.is_cut(self.history):
                self.reload_best()
            self.save_checkpoint()
            self.report(record)

    def train_epoch(self, learning_rates: list[float]) -> float:
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
        for step, (batch, rate) in enumerate(zip(progress, learning_rates, strict=True)):
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            loss = self.train_step(batch)
            total += loss
            if step % 10 == 0 and not progress.disable:  # each look waits for the device
                progress.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        mean = self.accelerator.reduce(total, "mean").item() / len(self.train_loader)
        if not math.isfinite(mean):
            raise RecipeError(DIVERGED)
        return mean

    def train_step(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        input_values, labels = self.augment(batch["input_values"], batch["labels"])
        logits = self.model(self.extractor.normalize(input_values)).logits
        loss = loss_function(logits.float(), labels, self.source.problem_type, self.recipe.label_smoothing)
        self.accelerator.backward(loss)
        self.optimizer.step()
        self.optimizer.zero_grad()
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
            predictions = predict(self.evaluated_model, self.validation_loader, self.accelerator)
        if not predictions.logits.isfinite().all():
            raise RecipeError(DIVERGED)
        metrics = compute_metrics(predictions.logits, predictions.targets, self.source.problem_type)
        return {**metrics, "segment_loss": predictions.segment_loss}

    @property
    def kept_epoch(self) -> int:
        return self.schedule.kept(self.history)["epoch"]

    def save_kept(self):
        epoch = len(self.history)
        if self.accelerator.is_main_process and self.kept_epoch == epoch:
            weights = self.evaluated_model.state_dict()
            self.folder.write(self.folder.kept(epoch), lambda path: checkpoint.write(path, weights, {}))

    def load_kept(self, model: SampleCNNForAudioClassification):
        """Give the kept weights to a network."""
        self.accelerator.wait_for_everyone()  # for the weights to be written
        folder = self.folder.kept(self.kept_epoch)
        with checkpoint.errors_of(folder):
            checkpoint.load_module(model, checkpoint.read(folder)[0])

    def reload_best(self):
        """Begin a stage of the learning rate as the authors do: with the weights of the best epoch and no momentum."""
        self.load_kept(self.evaluated_model)
        self.optimizer.state.clear()

    def kept_model(self) -> SampleCNNForAudioClassification:
        """The network to publish, in float32."""
        model = SampleCNNForAudioClassification(copy.deepcopy(self.evaluated_model.config))
        self.load_kept(model)
        return model.to(self.accelerator.device)

    def modules(self) -> dict[str, torch.nn.Module]:
        """What has weights."""
        modules = {"model": self.accelerator.unwrap_model(self.model)}
        return modules | ({"average": self.average} if self.average is not None else {})

    def save_checkpoint(self):
        """Everything that the next epoch depends on, under a name that says how many are done."""
        random_states = gather_object([checkpoint.random_state(self.accelerator.device)])
        if self.accelerator.is_main_process:
            states = {name: module.state_dict() for name, module in self.modules().items()}
            states["optimizer"] = checkpoint.optimizer_tensors(self.optimizer)
            tensors = {f"{owner}.{name}": tensor for owner, state in states.items() for name, tensor in state.items()}
            scaler = self.accelerator.scaler
            state = {
                "labels": self.source.labels,
                "history": self.history,
                "random": random_states,
                "scaler": scaler.state_dict() if scaler is not None else None,
            }
            target = self.folder.checkpoint(len(self.history))
            self.folder.write(target, lambda path: checkpoint.write(path, tensors, state))
            self.folder.keep_only(target, self.folder.kept(self.kept_epoch))
        self.accelerator.wait_for_everyone()

    def restore(self):
        """Go on from the newest checkpoint, if there is one. Raises `RecipeError` if it does not fit."""
        folder = self.folder.last_checkpoint()
        if folder is None:
            return
        tensors, state = checkpoint.read(folder)
        with checkpoint.errors_of(folder):
            if state["labels"] != self.source.labels:
                raise RecipeError(f"{folder} was made with other labels than the data have now: give the same data")
            for owner, module in self.modules().items():
                checkpoint.load_module(module, checkpoint.of(owner, tensors))
            names = OPTIMIZER_STATE[self.recipe.optimizer]
            checkpoint.load_optimizer(self.optimizer, checkpoint.of("optimizer", tensors), names)
            if self.accelerator.scaler is not None:
                self.accelerator.scaler.load_state_dict(state["scaler"])
            checkpoint.load_random_state(state["random"][self.accelerator.process_index], self.accelerator.device)
            self.history = state["history"]
            if [record["epoch"] for record in self.history] != list(range(1, 1 + len(self.history))):
                raise ValueError("its epochs are not counted from 1")
            if folder != self.folder.checkpoint(len(self.history)):
                raise ValueError("it is of another epoch than its name says")
            sum(record["seconds"] for record in self.history)  # the results need them
            checkpoint.read(self.folder.kept(self.kept_epoch))  # damage is found now, not after the last epoch
        self.accelerator.print(f"resumed after epoch {len(self.history)}")

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
    model, extractor = load_for_fine_tuning(
        recipe.pretrained,
        id2label=dict(enumerate(source.labels)),
        label2id={label: i for i, label in enumerate(source.labels)},
        problem_type=source.problem_type,
        dropout=recipe.dropout,
        batch_norm_momentum=recipe.batch_norm_momentum,
    )
    if recipe.freeze > 1 + model.config.num_blocks:
        raise RecipeError(f"--freeze must be at most {1 + model.config.num_blocks} for {recipe.pretrained}")
    recipe.adopt_extractor(extractor)
    return model, extractor


def create_optimizer(recipe: Recipe, model: torch.nn.Module) -> torch.optim.Optimizer:
    """Of the parameters that are trained. Biases and norms are not decayed."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.9, nesterov=True, fused=True)
