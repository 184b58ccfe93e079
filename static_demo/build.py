"""
A page that classifies sound in the browser, as a folder for any web server or a static Space of the Hub.

    npm ci --prefix static_demo  # once: onnxruntime-web
    python -m static_demo.build runs/quickstart runs/static_demo
    python -m http.server --directory runs/static_demo  # http://localhost:8000

The folder is complete: page, network, runtime. Nothing in it is fetched from elsewhere.
"""

import argparse
import html
import json
import shutil
import sys
from pathlib import Path

from huggingface_hub import ModelCard, SpaceCardData
from transformers.utils.logging import disable_progress_bar

from samplecnn_hf.export import export_onnx
from samplecnn_hf.files import replace_when_complete
from samplecnn_hf.model_folder import CARD, read_card
from samplecnn_hf.text import escape_markdown, one_line, printable

PAGE = Path(__file__).parent / "page"
RUNTIME = Path(__file__).parent / "node_modules" / "onnxruntime-web" / "dist"
RUNTIME_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")  # WebAssembly alone, no WebGPU
MODEL_FILES = ("config.json", "preprocessor_config.json")


def build(model_folder: Path, output: Path, model_id: str | None = None) -> Path:
    """
    Make `output`, a folder with the page for the model in `model_folder`, and return it.

    Args:
        model_id: the model's id on the Hub, to which the Space's card then links.

    Raises:
        FileNotFoundError: onnxruntime-web is not installed, or there is no model.
        FileExistsError: `output` exists.
        ImportError, OSError, RuntimeError, ValueError: the model cannot be exported; see `export_onnx`.
    """
    model_folder, output = model_folder.resolve(), output.absolute()
    if not all((RUNTIME / name).is_file() for name in RUNTIME_FILES):
        raise FileNotFoundError("onnxruntime-web is not installed: npm ci --prefix static_demo")
    for name in MODEL_FILES:
        if not (model_folder / name).is_file():
            raise FileNotFoundError(f"there is no model in {model_folder}, {name} is missing: give a trained folder")
    if output.exists():
        raise FileExistsError(f"{output} exists: remove it, or choose another folder")

    output.parent.mkdir(parents=True, exist_ok=True)
    with replace_when_complete(output) as new:
        _write_page(new, model_folder.name)
        _write_card(new / "README.md", model_folder, model_id)
        for name in MODEL_FILES:
            shutil.copyfile(model_folder / name, new / name)
        export_onnx(model_folder, new / "model.onnx")
    return output


def _write_page(folder: Path, name: str):
    shutil.copytree(PAGE, folder)
    (folder / "onnxruntime").mkdir()
    for file in RUNTIME_FILES:
        shutil.copyfile(RUNTIME / file, folder / "onnxruntime" / file)
    _fill_in(folder / "index.html", html.escape(printable(name)))
    _fill_in(folder / "README.md", escape_markdown(name))


def _fill_in(file: Path, name: str):
    file.write_text(file.read_text(encoding="utf-8").replace("{{ name }}", name), encoding="utf-8")


def _write_card(readme: Path, model_folder: Path, model_id: str | None):
    """Put what the Hub reads before the text: the Space's title and kind, the model and its licence."""
    data = SpaceCardData(
        title=printable(model_folder.name),
        emoji="👂",
        colorFrom="blue",
        colorTo="gray",
        sdk="static",
        app_file="index.html",
        license=read_card(model_folder, ModelCard).data.license if (model_folder / CARD).is_file() else None,
        models=[model_id] if model_id else None,
        tags=["audio-classification", "samplecnn"],
    )
    readme.write_text(f"---\n{data.to_yaml()}\n---\n\n{readme.read_text(encoding='utf-8')}", encoding="utf-8")


def main(argv: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a trained model")
    parser.add_argument(
        "output",
        type=Path,
        nargs="?",
        default=Path("runs/static_demo"),
        help="folder to make (default: %(default)s)",
    )
    parser.add_argument("--model_id", help="the model's id on the Hub, ORG/NAME, for the Space's card to link to")
    args = parser.parse_args(argv)
    disable_progress_bar()  # of loading weights
    try:
        output = build(args.model, args.output, args.model_id)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        sys.exit(f"error: {one_line(error)}")
    print(json.dumps({"model": str(args.model), "output": str(output)}))


if __name__ == "__main__":
    main()
