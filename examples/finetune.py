"""
Fine-tune SampleCNN on your own folder of sounds, one subfolder a class; a fifth of the files is kept for validation.

    pip install . accelerate
    python examples/finetune.py runs/quickstart MY_SOUNDS runs/mine
"""

import sys
from pathlib import Path

import torch
from transformers import Trainer, TrainingArguments

from samplecnn_hf import SampleCNNFeatureExtractor, SampleCNNForAudioClassification

if len(sys.argv) != 4:
    sys.exit(__doc__)
pretrained, sounds, output = sys.argv[1:]
files = sorted(path for path in Path(sounds).glob("*/*") if path.suffix.lower() in (".wav", ".flac", ".ogg", ".mp3"))
train, validation = [path for i, path in enumerate(files) if i % 5], files[::5]
labels = sorted({path.parent.name for path in files})
if len(labels) < 2 or len(train) < 16:
    sys.exit(f"error: {sounds} needs two subfolders or more, with at least 20 wav, flac, ogg or mp3 files in all")

extractor = SampleCNNFeatureExtractor.from_pretrained(pretrained)
model = SampleCNNForAudioClassification.from_pretrained(
    pretrained,
    id2label=dict(enumerate(labels)),
    label2id={label: i for i, label in enumerate(labels)},
    problem_type="single_label_classification",
    ignore_mismatched_sizes=True,  # a new output layer
    batch_norm_momentum=0.1,  # the statistics of your sounds, after few steps
)


def collate(batch: list[Path]) -> dict[str, torch.Tensor]:
    inputs = extractor(batch, return_tensors="pt")
    return {**inputs, "labels": torch.tensor([labels.index(path.parent.name) for path in batch])}


def accuracy(predicted) -> dict[str, float]:
    return {"accuracy": (predicted.predictions.argmax(-1) == predicted.label_ids).mean()}


options = {"num_train_epochs": 5, "learning_rate": 1e-3, "per_device_train_batch_size": 16, "warmup_steps": 10}
# A last batch of one clip would have no variance for the batch norm; the single clips of validation need none.
options |= {"dataloader_drop_last": True, "per_device_eval_batch_size": 1, "eval_strategy": "epoch"}
arguments = TrainingArguments(output, save_strategy="no", report_to="none", remove_unused_columns=False, **options)
Trainer(model, arguments, collate, train, validation, compute_metrics=accuracy).train()
model.save_pretrained(output)
extractor.save_pretrained(output)
