"""
Fine-tune SampleCNN on a folder of sounds with `Trainer`.

    pip install . accelerate
    python examples/finetune.py runs/quickstart MY_SOUNDS runs/mine

- MY_SOUNDS holds train/<class>/*.wav, validation/<class>/*.wav and, optionally, test/<class>/*.wav; or just
  <class>/*.wav, a fifth of which is then kept for validation. flac, ogg and mp3 are read, too.
- The lower blocks keep their weights (small data), but hear the new sounds' statistics first.
- Checkpoints are in runs/mine.checkpoints; interrupted, the same command resumes from the last one. The best epoch is
  kept.
- The result has a model card, so that `samplecnn push runs/mine USER/NAME` accepts it.
"""

import json
import sys
from functools import partial
from pathlib import Path

import torch
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from samplecnn_hf import SampleCNNFeatureExtractor, SampleCNNForAudioClassification

NUM_EPOCHS = 12
BATCH_SIZE = 16
FROZEN_LAYERS = 5  # the front end and four blocks: they hear what most sounds have in common
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")


def list_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*/*") if path.suffix.lower() in SUFFIXES)


def list_splits(sounds: Path) -> dict[str, list[Path]]:
    """The audio files of each split; the class of a file is the name of its folder."""
    splits = {split: list_files(sounds / split) for split in ("train", "validation", "test")}
    if not splits["train"]:
        files = list_files(sounds)
        splits |= {"train": [path for i, path in enumerate(files) if i % 5], "validation": files[::5]}
    return {split: files for split, files in splits.items() if files}


def load_model(pretrained: str, labels: list[str]) -> SampleCNNForAudioClassification:
    return SampleCNNForAudioClassification.from_pretrained(
        pretrained,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
        problem_type="single_label_classification",
        ignore_mismatched_sizes=True,  # a new output layer
        batch_norm_momentum=0.1,  # follow the new sounds within few steps
    )


def collate(paths: list[Path], extractor: SampleCNNFeatureExtractor, labels: list[str]) -> dict[str, torch.Tensor]:
    """Audio files -> `input_values` [batch, segments, samples], `attention_mask` [batch, segments] and `labels`."""
    inputs = extractor(paths, return_tensors="pt")
    return {**inputs, "labels": torch.tensor([labels.index(path.parent.name) for path in paths])}


def accuracy(predicted) -> dict[str, float]:
    return {"accuracy": float((predicted.predictions.argmax(-1) == predicted.label_ids).mean())}


def write_card(output: Path, sounds: Path, scores: dict[str, float]):
    """What the Hub shows, with the accuracy on each split."""
    results = [
        EvalResult(
            task_type="audio-classification",
            dataset_type=sounds.name,
            dataset_name=sounds.name,
            dataset_split=split,
            metric_type="accuracy",
            metric_value=round(score, 4),
        )
        for split, score in scores.items()
    ]
    data = ModelCardData(
        model_name=output.name,
        license="apache-2.0",
        library_name="transformers",
        pipeline_tag="audio-classification",
        tags=["samplecnn", "raw-waveform"],
        eval_results=results,
    )
    table = "\n".join(f"| {split} | {score:.4f} |" for split, score in scores.items())
    text = f"# {output.name}\n\nSampleCNN, fine-tuned on {sounds.name}.\n\n| split | accuracy |\n|---|---|\n{table}\n"
    ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}").save(output / "README.md")


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    pretrained, sounds, output = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    splits = list_splits(sounds)
    labels = sorted({path.parent.name for path in splits.get("train", [])})
    if len(labels) < 2 or len(splits["train"]) < 16 or "validation" not in splits:
        sys.exit(
            f"error: {sounds} needs two classes, 16 training files and a validation file or more of each; see --help"
        )
    if output.exists():
        sys.exit(f"error: {output} exists: choose another folder, or remove it")
    checkpoints = output.with_name(f"{output.name}.checkpoints")
    checkpoint = get_last_checkpoint(checkpoints) if checkpoints.is_dir() else None

    torch.manual_seed(0)
    extractor = SampleCNNFeatureExtractor.from_pretrained(pretrained)
    model = load_model(pretrained, labels)
    to_batch = partial(collate, extractor=extractor, labels=labels)
    # The batch norms, those of the frozen layers too, start with the statistics of the new sounds.
    loader = DataLoader(splits["train"], BATCH_SIZE, shuffle=True, drop_last=True, collate_fn=to_batch)
    update_bn((batch["input_values"] for batch in loader), model)
    model.samplecnn.freeze_layers(FROZEN_LAYERS)

    arguments = TrainingArguments(
        checkpoints,
        num_train_epochs=NUM_EPOCHS,
        learning_rate=1e-3,
        lr_scheduler_type="cosine",
        warmup_steps=0.1,  # of all steps
        per_device_train_batch_size=BATCH_SIZE,
        per_device_eval_batch_size=1,
        dataloader_drop_last=True,  # the batch norms need more than one clip; evaluation, one by one, drops none
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model="accuracy",
        remove_unused_columns=False,
        report_to="none",
    )
    trainer = Trainer(
        model, arguments, to_batch, splits["train"], splits["validation"], extractor, compute_metrics=accuracy
    )
    trainer.train(resume_from_checkpoint=checkpoint)
    scores = {
        split: trainer.evaluate(splits[split], metric_key_prefix=split)[f"{split}_accuracy"]
        for split in ("validation", "test")
        if split in splits
    }
    model.save_pretrained(output)
    extractor.save_pretrained(output)
    write_card(output, sounds, scores)
    print(json.dumps({"output": str(output), **scores}))


if __name__ == "__main__":
    main()
