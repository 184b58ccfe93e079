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

import soundfile
import torch
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

import samplecnn_hf
from samplecnn_hf import SampleCNNFeatureExtractor, SampleCNNForAudioClassification

NUM_EPOCHS = 12
BATCH_SIZE = 16
FROZEN_LAYERS = 5  # the front end and four blocks: they hear what most sounds have in common
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
CARD = """# {name}

SampleCNN on the raw waveform, fine-tuned from `{base}` on `{sounds}` (recorded at {rates}) by samplecnn-hf {version}.

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


def write_card(output: Path, pretrained: str, sounds: Path, splits: dict[str, list[Path]], scores: dict[str, float]):
    """What the Hub shows: what the network comes from, and its accuracy on each split."""
    base = Path(pretrained).name if Path(pretrained).exists() else pretrained
    rates = sorted({soundfile.info(path).samplerate for files in splits.values() for path in files})
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
        base_model=None if Path(pretrained).exists() else pretrained,
        eval_results=results,
    )
    rows = "\n".join(f"| {split} | {len(splits[split])} | {score:.4f} |" for split, score in scores.items())
    text = CARD.format(
        name=output.name,
        base=base,
        sounds=sounds.name,
        rates=", ".join(f"{rate:,} Hz" for rate in rates),
        rows=rows,
        version=samplecnn_hf.__version__,
        bibtex=Path(samplecnn_hf.__file__).with_name("paper.bib").read_text().strip(),
    )
    ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}").save(output / "README.md")


def check_splits(splits: dict[str, list[Path]], labels: list[str], sounds: Path):
    if len(labels) < 2 or len(splits["train"]) < BATCH_SIZE or "validation" not in splits:
        sys.exit(
            f"error: {sounds} needs two classes, {BATCH_SIZE} training files, and validation files: "
            f"see the top of {Path(__file__).name}"
        )
    if strange := sorted({path.parent.name for files in splits.values() for path in files} - set(labels)):
        sys.exit(f"error: {sounds} has no training files of the class {strange[0]!r}, which another split has")


def open_checkpoints(folder: Path, pretrained: str, splits: dict[str, list[Path]]) -> str | None:
    """The last checkpoint in a folder, which must be of the same network and files."""
    made_from = json.dumps({"pretrained": pretrained, **{split: list(map(str, splits[split])) for split in splits}})
    record = folder / "made_from.json"
    if folder.exists() and not (record.is_file() and record.read_text() == made_from):
        sys.exit(f"error: {folder} holds the checkpoints of another run: remove it, or choose another output folder")
    folder.mkdir(parents=True, exist_ok=True)
    record.write_text(made_from)
    return get_last_checkpoint(folder)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    pretrained, sounds, output = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    splits = list_splits(sounds)
    labels = sorted({path.parent.name for path in splits.get("train", [])})
    check_splits(splits, labels, sounds)
    if output.exists():
        sys.exit(f"error: {output} exists: choose another folder, or remove it")
    checkpoints = output.with_name(f"{output.name}.checkpoints")
    checkpoint = open_checkpoints(checkpoints, pretrained, splits)

    torch.manual_seed(0)
    extractor = SampleCNNFeatureExtractor.from_pretrained(pretrained)
    model = load_model(pretrained, labels)
    to_batch = partial(collate, extractor=extractor, labels=labels)
    # The batch norms, those of the frozen layers too, start with the statistics of the new sounds.
    loader = DataLoader(splits["train"], BATCH_SIZE, shuffle=True, drop_last=True, collate_fn=to_batch)
    update_bn((batch["input_values"][batch["attention_mask"].bool()] for batch in loader), model)  # no padding
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
    write_card(output, pretrained, sounds, splits, scores)
    print(json.dumps({"output": str(output), **scores}))


if __name__ == "__main__":
    main()
