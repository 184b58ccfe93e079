"""
Clip-level evaluation of a trained folder or Hub id: a clip's probabilities are the mean of its segments' (IV-D).

    python -m training.evaluate runs/quickstart --source speech_commands --data_dir data/spoken_commands --split test
"""

import argparse
import json
import sys

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader
from tqdm import tqdm

from samplecnn_hf import SampleCNNFeatureExtractor, SampleCNNForAudioClassification
from training.data import SOURCES, load_source
from training.data.segments import EvaluationClips, collate_clips, decode_clips, target_matrix
from training.data.source import DataError, Source
from training.hardware import prepare_cpu
from training.metrics import compute_metrics


def evaluation_loader(source: Source, split: str, extractor, batch_size: int, disable_progress: bool) -> DataLoader:
    """Clips of one split, decoded. Raises `DataError` if the source has no such split."""
    if split not in source.splits:
        raise DataError(f"{source.name} has no {split!r} split here; it has {', '.join(source.splits)}")
    clips = source.splits[split]
    waveforms = decode_clips([clip.path for clip in clips], extractor, f"decode {split}", disable_progress)
    dataset = EvaluationClips(waveforms, target_matrix(clips, len(source.labels)), extractor)
    return DataLoader(dataset, batch_size=batch_size, collate_fn=collate_clips)


@torch.inference_mode()
def predict(model, loader: DataLoader, accelerator: Accelerator) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and targets of all clips, float32 [clips, labels] on the CPU. `loader` is a prepared one."""
    model.eval()
    logits, targets = [], []
    for batch in tqdm(loader, desc="evaluate", leave=False, disable=not accelerator.is_local_main_process):
        outputs = model(batch["input_values"], attention_mask=batch["attention_mask"])
        batch_logits, batch_targets = accelerator.gather_for_metrics((outputs.logits.float(), batch["labels"]))
        logits.append(batch_logits.cpu())
        targets.append(batch_targets.cpu())
    return torch.cat(logits), torch.cat(targets)


def evaluate(model_id: str, source_name: str, data_dir: str, split: str, batch_size: int = 8) -> dict[str, float]:
    """
    Metrics of a trained model on one split of a data source, in float32 (see `training.metrics.compute_metrics`).

    Raises:
        DataError: the data cannot be read, or hold labels that the model does not know.
    """
    accelerator = Accelerator()
    if accelerator.device.type == "cpu":
        prepare_cpu(accelerator.num_processes, threads=None)
    source = load_source(source_name, data_dir)
    model = SampleCNNForAudioClassification.from_pretrained(model_id).to(accelerator.device)
    extractor = SampleCNNFeatureExtractor.from_pretrained(model_id)
    known = [model.config.id2label[i] for i in range(model.config.num_labels)]
    if known != source.labels:
        raise DataError(f"the labels of {data_dir} are not those of {model_id}, or in another order")
    loader = evaluation_loader(source, split, extractor, batch_size, not accelerator.is_local_main_process)
    logits, targets = predict(model, accelerator.prepare(loader), accelerator)
    return {"clips": len(targets), **compute_metrics(logits, targets, model.config.problem_type)}


def main(argv: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder or Hub id of a trained model")
    parser.add_argument("--source", required=True, choices=sorted(SOURCES))
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--batch_size", type=int, default=8, help="clips a batch")
    args = parser.parse_args(argv)
    try:
        metrics = evaluate(args.model, args.source, args.data_dir, args.split, args.batch_size)
    except (DataError, OSError) as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
    print(json.dumps({"model": args.model, "split": args.split, **metrics}))


if __name__ == "__main__":
    main()
