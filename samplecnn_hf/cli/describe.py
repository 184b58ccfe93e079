"""`samplecnn info` and `variants`."""

import json
from pathlib import Path
from typing import Annotated

from typer import Argument

from ..files import check_location

Model = Annotated[str, Argument(metavar="MODEL", help="Folder or Hub id of a model.")]
MAX_LABELS = 20  # listed


def info(model: Model):
    """
    Describe a model: network, input, labels, thresholds, files.

    \b
    samplecnn info runs/quickstart
    """
    config, inputs = (read_json(model, name) for name in ("config.json", "preprocessor_config.json"))
    if config.get("model_type") != "samplecnn":
        raise ValueError(f"{model} is not a SampleCNN: its config.json has model_type {config.get('model_type')!r}")
    needed = ("num_blocks", "block_type", "front_end", "problem_type", "sampling_rate", "segment_length")
    if missing := [name for name in needed if name not in {**config, **inputs}]:
        raise ValueError(f"{model} has no {', '.join(missing)} in its JSON files: save the model with save_pretrained")
    weights = _find(model, "model.safetensors")
    rate, length = inputs["sampling_rate"], inputs["segment_length"]
    id2label = config.get("id2label", {"0": "LABEL_0", "1": "LABEL_1"})  # the default is not saved
    labels = [label for _, label in sorted(id2label.items(), key=lambda item: int(item[0]))]
    rows = {
        "network": f"{config['num_blocks']} {config['block_type']} blocks, {config['front_end']} front end",
        "parameters": _describe_weights(weights),
        "input": f"{rate:,} Hz mono, segments of {length:,} samples ({length / rate:.2f} s)",
        "task": config["problem_type"].replace("_", " "),
        "labels": f"{len(labels)}: {', '.join(labels[:MAX_LABELS])}{', …' if len(labels) > MAX_LABELS else ''}",
        "thresholds": "none" if config.get("thresholds") is None else "tuned (--threshold tuned)",
        "files": weights.parent,
        "exported": ", ".join(_exported_files(weights.parent)) or "none",
    }
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:{width}}  {value}")


def _exported_files(folder: Path) -> list[str]:
    files = [*folder.glob("onnx/*.onnx"), *folder.glob("openvino/*.xml")]
    return sorted(str(file.relative_to(folder)) for file in files)


def _describe_weights(path: Path) -> str:
    from math import prod

    from safetensors import safe_open

    with safe_open(path, "np") as file:
        # without the buffers of batch normalization
        names = [name for name in file.keys() if "running_" not in name and "num_batches" not in name]
        tensors = [file.get_slice(name) for name in names]
        dtypes = {tensor.get_dtype() for tensor in tensors}
        return f"{sum(prod(tensor.get_shape()) for tensor in tensors):,} ({', '.join(sorted(dtypes))})"


def read_json(model: str, name: str) -> dict:
    """
    Read a JSON file of a model.

    Raises:
        OSError: There is no such file.
        ValueError: The file is damaged.
    """
    try:
        return json.loads(_find(model, name).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{name} of {model} is damaged: {error}") from error


def _find(model: str, name: str) -> Path:
    """A file of a model, downloaded from the Hub if necessary."""
    if Path(model).is_dir():
        if not (Path(model) / name).is_file():
            raise OSError(f"{model} has no {name}: give the folder of a trained model")
        return Path(model) / name
    check_location(model)
    from transformers.utils import cached_file

    return Path(cached_file(model, name))


def variants():
    """
    List the names of all networks.

    \b
    samplecnn variants
    """
    from ..variants import list_variants

    print(*list_variants(), sep="\n")
