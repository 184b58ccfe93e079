"""The training loop: epochs of training and validation, with a checkpoint after each."""

import copy
import math
import time
from typing import NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, gather_object
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn
from tqdm import tqdm

from samplecnn_hf import SampleCNNForAudioClassification
from training.errors import RecipeError
from training.loop import checkpoint
from training.loop.data import TrainingData
from training.loop.evaluation import predict
from training.loop.metrics import compute_metrics, loss_function
from training.loop.run_folder import RunFolder
from training.loop.schedule import Schedule
from training.recipe import Recipe

DIVERGED = "the loss is not finite: reduce --learning_rate, or check the data for extreme samples"


class TrainedModel(NamedTuple):
    """
    The result of a training run.

    Attributes:
        model: network with the weights to keep, float32.
        kept_epoch: the epoch of these weights, from 1.
        history: one record per epoch: `epoch`, `learning_rate`, `train_loss`, `validation` and `seconds`.
    """

    model: SampleCNNForAudioClassification
    kept_epoch: int
    history: list[dict]


class TrainingRun:
    """
    The state of a training run: network, optimizer, average of the weights and history.

    Args:
        recipe: options of the optimization and the validation.
        model: the network; layers are frozen and statistics re-estimated here.
        data: from `load_data`.
        folder: for checkpoints, held by the main process.
        accelerator: prepares network, optimizer and training segments.
    """

    def __init__(
        self,
        recipe: Recipe,
        model: SampleCNNForAudioClassification,
        data: TrainingData,
        folder: RunFolder,
        accelerator: Accelerator,
    ):
        self.recipe, self.data, self.folder, self.accelerator = recipe, data, folder, accelerator
        self.history: list[dict] = []
        if recipe.warm_statistics and folder.last_checkpoint() is None:
            self.warm_statistics(model)
        if recipe.sync_batch_norm:
            model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)
        model.samplecnn.freeze_layers(recipe.freeze)
        self.average = None
        if recipe.average_decay:
            self.average = AveragedModel(model, use_buffers=True).to(accelerator.device)
        self.model, self.optimizer, self.train_loader = accelerator.prepare(
            model, create_optimizer(recipe, model), data.segments
        )
        self.schedule = Schedule(recipe, data.source.metric, len(self.train_loader))

    def warm_statistics(self, model: SampleCNNForAudioClassification):
        """Re-estimate the statistics of all batch norms, frozen layers included, on one epoch of training segments."""
        device = self.accelerator.device
        segments = (
            self.data.augment(batch["input_values"].to(device), batch["labels"].to(device))[0]
            for batch in self.data.segments
        )
        with self.accelerator.autocast():
            update_bn(map(self.data.extractor.normalize, segments), model.to(device))

    def update_average(self):
        """Update the EMA of the weights; its decay grows with the number of steps, up to `average_decay`."""
        steps = self.average.n_averaged.item()
        decay = min(self.recipe.average_decay, (1 + steps) / (10 + steps))
        self.average.multi_avg_fn = get_ema_multi_avg_fn(decay)
        self.average.update_parameters(self.accelerator.unwrap_model(self.model))

    def fit(self) -> TrainedModel:
        """Train all epochs, or those after the restored checkpoint."""
        while not self.schedule.is_finished(self.history):
            started = time.perf_counter()
            rates = self.schedule.learning_rates(self.history)
            record = {"epoch": len(self.history) + 1, "learning_rate": rates[0]}
            record["train_loss"] = self.train_epoch(rates)
            record["validation"] = self.validate() if "validation" in self.data.evaluation else {}
            record["seconds"] = round(time.perf_counter() - started, 1)
            self.history.append(record)
            self.save_kept()
            if self.recipe.plateau_reload and self.schedule.ends_stage(self.history):
                self.reload_best()
            self.save_checkpoint()
            self.report(record)
        return TrainedModel(self.kept_model(), self.kept_epoch, self.history)

    def train_epoch(self, learning_rates: list[float]) -> float:
        """One pass over the training segments at the learning rate of each step; returns the mean loss."""
        epoch = len(self.history)
        self.model.train()
        self.train_loader.set_epoch(epoch)
        total = torch.zeros((), device=self.accelerator.device)
        progress = tqdm(
            self.train_loader,
            desc=f"epoch {epoch + 1}/{self.recipe.num_epochs}",
            leave=False,
            disable=None if self.accelerator.is_local_main_process else True,  # None: unless in a terminal
        )
        for step, (batch, rate) in enumerate(zip(progress, learning_rates, strict=True)):
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            loss = self.train_step(batch)
            total += loss
            if step % 10 == 0 and not progress.disable:  # reading the loss waits for the device
                progress.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        mean = self.accelerator.reduce(total, "mean").item() / len(self.train_loader)
        if not math.isfinite(mean):
            raise RecipeError(DIVERGED)
        return mean

    def train_step(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        input_values, labels = self.data.augment(batch["input_values"], batch["labels"])
        logits = self.model(self.data.extractor.normalize(input_values)).logits
        loss = loss_function(logits.float(), labels, self.data.source.multi_label, self.recipe.label_smoothing)
        self.accelerator.backward(loss)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.update_average()
        return loss.detach()

    @property
    def evaluated_model(self) -> SampleCNNForAudioClassification:
        """The network that is validated and kept: the EMA, if there is one."""
        return self.average.module if self.average is not None else self.accelerator.unwrap_model(self.model)

    def validate(self) -> dict[str, float]:
        """Metrics on the validation split."""
        for buffer in self.evaluated_model.buffers():  # each process has its own batch statistics
            broadcast(buffer)
        with self.accelerator.autocast():
            predictions = predict(self.evaluated_model, self.data.evaluation["validation"], self.accelerator)
        if not predictions.logits.isfinite().all():
            raise RecipeError(DIVERGED)
        metrics = compute_metrics(predictions.logits, predictions.targets, self.data.source.multi_label)
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
        """Load the kept weights into a network."""
        self.accelerator.wait_for_everyone()  # until the weights are written
        folder = self.folder.kept(self.kept_epoch)
        with checkpoint.one_line_errors(folder):
            checkpoint.load_module(model, checkpoint.read(folder)[0])

    def reload_best(self):
        """Restart from the weights of the best epoch without momentum, as in the authors' code."""
        self.load_kept(self.evaluated_model)
        self.optimizer.state.clear()

    def kept_model(self) -> SampleCNNForAudioClassification:
        """A new network with the kept weights, in float32."""
        model = SampleCNNForAudioClassification(copy.deepcopy(self.evaluated_model.config))
        self.load_kept(model)
        return model.to(self.accelerator.device)

    def modules(self) -> dict[str, torch.nn.Module]:
        """The networks whose weights are in a checkpoint."""
        modules = {"model": self.accelerator.unwrap_model(self.model)}
        return modules | ({"average": self.average} if self.average is not None else {})

    def save_checkpoint(self):
        """Write everything that the next epoch depends on, in a folder named by the number of finished epochs."""
        random_states = gather_object([checkpoint.random_state(self.accelerator.device)])
        if self.accelerator.is_main_process:
            states = {name: module.state_dict() for name, module in self.modules().items()}
            states["optimizer"] = checkpoint.optimizer_tensors(self.optimizer)
            tensors = {f"{part}.{name}": tensor for part, state in states.items() for name, tensor in state.items()}
            scaler = self.accelerator.scaler
            state = {
                "labels": self.data.source.labels,
                "history": self.history,
                "random": random_states,
                "scaler": scaler.state_dict() if scaler is not None else None,
            }
            target = self.folder.checkpoint(len(self.history))
            self.folder.write(target, lambda path: checkpoint.write(path, tensors, state))
            self.folder.keep_only(self.folder.run_file, target, self.folder.kept(self.kept_epoch))
        self.accelerator.wait_for_everyone()

    def restore(self):
        """Resume from the newest checkpoint, if there is one. Raises `RecipeError` if it does not match the run."""
        folder = self.folder.last_checkpoint()
        if folder is None:
            return
        tensors, state = checkpoint.read(folder)
        with checkpoint.one_line_errors(folder):
            if state["labels"] != self.data.source.labels:
                raise RecipeError(f"{folder} has other labels than the data: give the same data")
            for part, module in self.modules().items():
                checkpoint.load_module(module, checkpoint.tensors_of(part, tensors))
            checkpoint.load_optimizer(self.optimizer.optimizer, checkpoint.tensors_of("optimizer", tensors))
            if self.accelerator.scaler is not None:
                self.accelerator.scaler.load_state_dict(state["scaler"])
            checkpoint.load_random_state(state["random"][self.accelerator.process_index], self.accelerator.device)
            self.history = state["history"]
            if [record["epoch"] for record in self.history] != list(range(1, 1 + len(self.history))):
                raise ValueError("its epochs are not numbered from 1")
            if folder != self.folder.checkpoint(len(self.history)):
                raise ValueError("its name is that of another epoch")
            sum(record["seconds"] for record in self.history)  # for the results
            checkpoint.read(self.folder.kept(self.kept_epoch))  # fail now, not after the last epoch
        self.accelerator.print(f"resumed after epoch {len(self.history)}")

    def report(self, record: dict):
        """Print one line per epoch."""
        scores = {name: record["validation"].get(name) for name in ("loss", self.data.source.metric)}
        shown = "  ".join(f"{name} {value:.4f}" for name, value in scores.items() if value is not None)
        self.accelerator.print(
            f"epoch {record['epoch']:3d}  train loss {record['train_loss']:.4f}"
            f"{shown and f'  validation: {shown}'}  ({record['seconds']:.0f} s)"
        )


def create_optimizer(recipe: Recipe, model: torch.nn.Module) -> torch.optim.Optimizer:
    """Optimizer of the parameters that are trained, without weight decay of biases and norms."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.9, nesterov=True, fused=True)
