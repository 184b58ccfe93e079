"""
Build a page that classifies audio in the browser: a folder for any web server or a static Space.

    npm ci --prefix static_demo  # once: onnxruntime-web
    python -m static_demo.build runs/quickstart runs/static_demo
    python -m http.server --directory runs/static_demo  # http://localhost:8000

The folder is self-contained: page, model and runtime.
"""

import argparse
import html
import json
import shutil
import sys
from pathlib import Path

from huggingface_hub import ModelCard, SpaceCard, SpaceCardData
from transformers.utils.logging import disable_progress_bar

from samplecnn_hf.export import export_model
from samplecnn_hf.files import replace_when_complete
from samplecnn_hf.model_folder import CARD, read_card
from samplecnn_hf.text import escape_markdown, one_line, printable

PAGE = Path(__file__).parent / "page"
RUNTIME = Path(__file__).parent / "node_modules" / "onnxruntime-web" / "dist"
RUNTIME_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")  # the WebAssembly backend
MODEL_FILES = ("config.json", "preprocessor_config.json")


def build(model_folder: Path, output: Path, model_id: str | None = None) -> Path:
    """
    Build the page for the model in `model_folder` and return its folder, `output`.

    Args:
        model_id: Hub id of the model, listed in the metadata of the Space.

    Raises:
        FileNotFoundError: onnxruntime-web is not installed, or there is no model.
        FileExistsError: `output` exists.
        ImportError, OSError, RuntimeError, ValueError: the model cannot be exported; see `export_model`.
    """
    model_folder, output = model_folder.resolve(), output.absolute()
    if not all((RUNTIME / name).is_file() for name in RUNTIME_FILES):
        raise FileNotFoundError("onnxruntime-web is not installed: npm ci --prefix static_demo")
    for name in MODEL_FILES:
        if not (model_folder / name).is_file():
            raise FileNotFoundError(f"no model in {model_folder}, {name} is missing: give the folder of a model")
    if output.exists():
        raise FileExistsError(f"{output} exists: remove it or choose another folder")

    output.parent.mkdir(parents=True, exist_ok=True)
    with replace_when_complete(output) as folder:
        shutil.copytree(PAGE, folder)
        (folder / "onnxruntime").mkdir()
        for name in RUNTIME_FILES:
            shutil.copyfile(RUNTIME / name, folder / "onnxruntime" / name)
        for name in MODEL_FILES:
            shutil.copyfile(model_folder / name, folder / name)
        export_model(model_folder, output=folder / "model.onnx")
        title = printable(model_folder.name)
        page = _read_template("index.html", html.escape(title))
        (folder / "index.html").write_text(page, encoding="utf-8")
        metadata = _space_metadata(title, model_folder, model_id).to_yaml()
        SpaceCard(f"---\n{metadata}\n---\n\n{_read_template(CARD, escape_markdown(title))}").save(folder / CARD)
    return output


def _read_template(file: str, name: str) -> str:
    return (PAGE / file).read_text(encoding="utf-8").replace("{{ name }}", name)


def _space_metadata(title: str, model_folder: Path, model_id: str | None) -> SpaceCardData:
    """Metadata of the Space; its license is that of the model."""
    return SpaceCardData(
        title=title,
        emoji="👂",
        colorFrom="blue",
        colorTo="gray",
        sdk="static",
        app_file="index.html",
        license=read_card(model_folder, ModelCard).data.license if (model_folder / CARD).is_file() else None,
        models=[model_id] if model_id else None,
        tags=["audio-classification", "samplecnn"],
    )


def main(argv: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a trained model")
    default = Path("runs/static_demo")
    parser.add_argument("output", type=Path, nargs="?", default=default, help="new folder (default: %(default)s)")
    parser.add_argument("--model_id", help="Hub id of the model, for the metadata of the Space")
    args = parser.parse_args(argv)
    disable_progress_bar()  # of loading weights
    try:
        output = build(args.model, args.output, args.model_id)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        sys.exit(f"error: {one_line(error)}")
    print(json.dumps({"model": str(args.model), "output": str(output)}))


if __name__ == "__main__":
    main()
