"""`samplecnn export`, `convert` and `push`."""

from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

Folder = Annotated[Path, Argument(metavar="FOLDER", help="Folder of a trained model.")]


def export(
    model: Annotated[str, Argument(metavar="MODEL", help="Folder of a trained model; with --output also a Hub id.")],
    format: Annotated[Literal["onnx", "openvino"], Option("--format", help="Format of the file.")] = "onnx",
    dtype: Annotated[
        Literal["float32", "bfloat16", "int8"],
        Option("--dtype", help="Precision; int8 needs --calibration, and its accuracy is written beside the file."),
    ] = "float32",
    calibration: Annotated[
        str | None, Option("--calibration", help="Folder of recordings with which int8 is calibrated.")
    ] = None,
    output: Annotated[
        Path | None, Option("--output", "-o", help="File to write (default: onnx/ or openvino/ in the folder).")
    ] = None,
):
    """
    Export a model to ONNX or OpenVINO.

    The outputs of a float32 file are compared with PyTorch's before it is written. Needs the extra onnx, or openvino.

    \b
    samplecnn export runs/quickstart
    samplecnn export runs/quickstart --format openvino --dtype int8 --calibration recordings/
    """
    if output is None and not Path(model).is_dir():
        raise ValueError(f"there is no folder {model}: give the folder of a trained model")
    from ..export import export_model

    hide_loading()
    print(export_model(model, format=format, dtype=dtype, calibration=calibration, output=output))


def convert(
    file: Annotated[Path, Argument(metavar="FILE", help="Keras HDF5 file, PyTorch state dict or safetensors file.")],
    output: Annotated[Path, Argument(metavar="OUTPUT", help="Folder to create.")],
    labels: Annotated[
        str,
        Option("--labels", help="Text file with one label per line, or a,b,c; in the order of the outputs."),
    ],
    problem_type: Annotated[
        Literal["single_label_classification", "multi_label_classification"] | None,
        Option(
            "--problem_type",
            help="Required unless the file is a full Keras model in HDF5 format (model.save).",
        ),
    ] = None,
    sampling_rate: Annotated[
        int | None,
        Option(
            "--sampling_rate",
            help="Sampling rate of the training audio in Hz (default: that of the implementation, 22050 or 16000).",
        ),
    ] = None,
):
    """
    Convert weights of other SampleCNN implementations.

    Converts the authors' Keras files (HDF5), or a PyTorch state dict of the plain SampleCNN, to a folder that
    transformers loads. The architecture is inferred from the file.

    \b
    samplecnn convert final.h5 runs/converted --labels tags.txt
    """
    from ..convert import convert_checkpoint, read_labels

    hide_loading()
    print(convert_checkpoint(file, output, read_labels(labels), problem_type, sampling_rate))


def push(
    folder: Folder,
    repo_id: Annotated[
        str, Argument(metavar="USER/NAME", help="Repository; uses the token of `hf auth login` or HF_TOKEN.")
    ],
    private: Annotated[bool, Option("--private", help="Create a private repository.")] = False,
    dry_run: Annotated[bool, Option("--dry_run", help="List the files without uploading them.")] = False,
    revision: Annotated[
        str | None, Option("--revision", help="Branch to commit to; created if it does not exist (default: main).")
    ] = None,
    tag: Annotated[str | None, Option("--tag", help="Tag of the commit, such as v1.0.")] = None,
):
    """
    Upload a model to the Hub.

    Checks a model folder, exports it to ONNX and uploads both to the Hub in one commit. There is no option for the
    token: it would be visible in the process list.

    \b
    samplecnn push runs/quickstart USER/NAME --tag v1.0
    """
    from ..publish import push_model

    hide_loading()
    if url := push_model(folder, repo_id, private=private, revision=revision, tag=tag, dry_run=dry_run):
        print(url)


def hide_loading():
    """Hide the progress bar with which transformers loads weights."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
