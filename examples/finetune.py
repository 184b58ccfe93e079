"""
Fine-tune SampleCNN on a folder of sounds with `Trainer`.

    pip install . accelerate
    python examples/finetune.py model_cards/samplecnn-arabic-speech-commands MY_SOUNDS runs/mine

MY_SOUNDS holds train/<class>/*.wav, validation/<class>/*.wav and, optionally, test/<class>/*.wav; or just
<class>/*.wav, of which a fifth is kept for validation. flac, ogg and mp3 files are read, too. The best epoch is kept.
Checkpoints are in runs/mine.checkpoints; after an interruption, the same command resumes from the last one. The result
has a model card, so that `samplecnn push runs/mine USER/NAME` accepts it.
"""

import argparse
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

import samplecnn_hf
from samplecnn_hf import SampleCNNFeatureExtractor, SampleCNNForAudioClassification
from samplecnn_hf.loading import model_license

NUM_EPOCHS = 12
BATCH_SIZE = 16
FROZEN_LAYERS = 5  # front end and four blocks: features that most sounds share
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
CARD = """# {name}

SampleCNN on the raw waveform, fine-tuned from `{base}` on `{sounds}` with samplecnn-hf.

```python
from transformers import pipeline  # pip install "transformers>=5.4" torch soundfile soxr

classifier = pipeline("audio-classification", model="{name}", trust_remote_code=True)
classifier("clip.wav")
```

| split | clips | accuracy |
|---|---|---|
{rows}

The best epoch was chosen on the validation split.

```bibtex
{bibtex}
```
"""


def list_splits(sounds: Path) -> dict[str, list[Path]]:
    """The audio files of each split; the class of a file is the name of its folder."""

    def list_files(folder: Path) -> list[Path]:
        return sorted(path for path in folder.glob("*/*") if path.suffix.lower() in SUFFIXES)

    splits = {split: list_files(sounds / split) for split in ("train", "validation", "test")}
    if not splits["train"]:
        files = list_files(sounds)
        splits |= {"train": [path for i, path in enumerate(files) if i % 5], "validation": files[::5]}
    return {split: files for split, files in splits.items() if files}


def collate(paths: list[Path], extractor: SampleCNNFeatureExtractor, labels: list[str]) -> dict[str, torch.Tensor]:
    """Audio files -> `input_values` [batch, segments, samples], `attention_mask` [batch, segments] and `labels`."""
    inputs = extractor(paths, return_tensors="pt")
    return {**inputs, "labels": torch.tensor([labels.index(path.parent.name) for path in paths])}


def load_model(pretrained: str, labels: list[str], loader: DataLoader) -> SampleCNNForAudioClassification:
    """A pretrained network with a new output layer, adapted to the statistics of the new sounds, partly frozen."""
    model = SampleCNNForAudioClassification.from_pretrained(
        pretrained,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
        problem_type="single_label_classification",
        ignore_mismatched_sizes=True,  # a new output layer, if the number of labels differs
        batch_norm_momentum=0.1,  # statistics follow the new sounds within few steps
    )
    # All batch norms, those of the frozen layers included, start with the statistics of the new sounds.
    update_bn((batch["input_values"][batch["attention_mask"].bool()] for batch in loader), model)  # without padding
    model.samplecnn.freeze_layers(FROZEN_LAYERS)
    return model


def accuracy(predicted) -> dict[str, float]:
    return {"accuracy": float((predicted.predictions.argmax(-1) == predicted.label_ids).mean())}


def write_card(output: Path, pretrained: str, sounds: str, splits: dict[str, list[Path]], scores: dict[str, float]):
    """Write the model card: origin of the model, and accuracy on each split."""
    results = [
        EvalResult("audio-classification", sounds, sounds, "accuracy", round(score, 4), dataset_split=split)
        for split, score in scores.items()
    ]
    data = ModelCardData(
        model_name=output.name,
        license=model_license(pretrained) or "apache-2.0",
        library_name="transformers",
        pipeline_tag="audio-classification",
        tags=["samplecnn", "raw-waveform"],
        base_model=None if Path(pretrained).exists() else pretrained,
        eval_results=results,
    )
    rows = "\n".join(f"| {split} | {len(splits[split])} | {score:.4f} |" for split, score in scores.items())
    bibtex = Path(samplecnn_hf.__file__).with_name("paper.bib").read_text().strip()
    base = Path(pretrained).name if Path(pretrained).exists() else pretrained  # no local path
    text = CARD.format(name=output.name, base=base, sounds=sounds, rows=rows, bibtex=bibtex)
    ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}").save(output / "README.md")


def check_splits(splits: dict[str, list[Path]], labels: list[str], sounds: Path):
    if len(labels) < 2 or len(splits["train"]) < BATCH_SIZE or "validation" not in splits:
        sys.exit(f"error: {sounds} needs two classes, {BATCH_SIZE} training files and validation files: see --help")
    if unknown := {path.parent.name for files in splits.values() for path in files} - set(labels):
        sys.exit(f"error: {sounds} has no training files of the class {min(unknown)!r}, which another split has")


def open_checkpoints(folder: Path, pretrained: str, splits: dict[str, list[Path]]) -> str | None:
    """The last checkpoint in a folder, which must be of the same network and files; None for a new folder."""
    run = json.dumps([pretrained, *(f"{split} {path}" for split, paths in splits.items() for path in paths)])
    record = folder / "run.json"
    is_same = record.is_file() and record.read_text() == run
    if folder.exists() and get_last_checkpoint(folder) is not None and not is_same:
        sys.exit(f"error: {folder} holds the checkpoints of another run: remove it, or choose another output folder")
    folder.mkdir(parents=True, exist_ok=True)
    record.write_text(run)
    return get_last_checkpoint(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pretrained", help="folder or Hub id of a trained model")
    parser.add_argument("sounds", type=Path, help="folder of audio files")
    parser.add_argument("output", type=Path, help="folder to write")
    args = parser.parse_args()
    splits = list_splits(args.sounds)
    labels = sorted({path.parent.name for path in splits.get("train", [])})
    check_splits(splits, labels, args.sounds)
    if args.output.exists():
        sys.exit(f"error: {args.output} exists: choose another folder, or remove it")
    checkpoints = args.output.with_name(f"{args.output.name}.checkpoints")
    last_checkpoint = open_checkpoints(checkpoints, args.pretrained, splits)

    torch.manual_seed(0)
    extractor = SampleCNNFeatureExtractor.from_pretrained(args.pretrained)
    to_batch = partial(collate, extractor=extractor, labels=labels)
    loader = DataLoader(splits["train"], BATCH_SIZE, shuffle=True, drop_last=True, collate_fn=to_batch)
    model = load_model(args.pretrained, labels, loader)

    training_args = TrainingArguments(
        checkpoints,
        num_train_epochs=NUM_EPOCHS,
        learning_rate=1e-3,
        lr_scheduler_type="cosine",
        warmup_steps=0.1,  # of all steps
        per_device_train_batch_size=BATCH_SIZE,
        per_device_eval_batch_size=1,
        dataloader_drop_last=True,  # batch norm needs more than one clip; evaluation, one by one, drops none
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model="accuracy",
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        report_to="none",
    )
    trainer = Trainer(
        model, training_args, to_batch, splits["train"], splits["validation"], extractor, compute_metrics=accuracy
    )
    trainer.train(resume_from_checkpoint=last_checkpoint)
    scores = {
        split: trainer.evaluate(splits[split], metric_key_prefix=split)[f"{split}_accuracy"]
        for split in splits
        if split != "train"
    }
    model.save_pretrained(args.output)
    extractor.save_pretrained(args.output)
    write_card(args.output, args.pretrained, args.sounds.name, splits, scores)
    print(json.dumps({"output": str(args.output), **scores}))


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
