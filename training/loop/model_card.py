"""The folder of a finished run: loadable by the Auto classes and `pipeline`, with results and a model card."""

import json
import os
import shlex
import tomllib
from pathlib import Path
from urllib.parse import quote

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from jinja2 import Environment, FileSystemLoader

from samplecnn_hf import SampleCNNFeatureExtractor, SampleCNNForAudioClassification, __version__
from samplecnn_hf.text import Markdown, escape_markdown, markdown_table, printable
from training import paper
from training.data.sources.recordings import RECORDINGS
from training.loop.detection import plot_det_curve
from training.recipe import MAY_CHANGE, ROOT, public_path

HERE = Path(__file__).parent
PAPER_BIBTEX = ROOT / "samplecnn_hf" / "paper.bib"
NOT_SCORES = ("loss", "labels_scored")  # metrics that do not compare models
# Options that may be a path on this machine.
LOCAL_PATHS = (
    "data_dir",
    "output_dir",
    "cache_dir",
    "pretrained",
    "recordings",
    "background",
    "further",
    "unknown_words",
)
CODE_REQUIREMENTS = ("torch", "transformers", "soundfile", "soxr")  # of the code in the folder
DET_CURVE = "det_curve.png"
QUICKSTART = ROOT / "docs" / "results" / "quickstart.json"  # scored on recordings, which few users have


def write_hub_folder(
    path: Path, model: SampleCNNForAudioClassification, extractor: SampleCNNFeatureExtractor, results: dict
):
    """
    Write weights, config, code, feature extractor, `results.json`, DET curve and the card to the folder `path`.

    Args:
        results: from `collect_results`; `training.release` adds `name`, `compared` and `examples`.
    """
    model.save_pretrained(path)
    extractor.save_pretrained(path)
    public = json.dumps(without_local_paths(results), indent=2, allow_nan=False)
    (path / "results.json").write_text(public + "\n", encoding="utf-8")
    if "detection" in results:
        plot_det_curve(results["detection"]).savefig(path / DET_CURVE, dpi=100)
    render_card(model, extractor, results).save(path / "README.md")


def without_local_paths(results: dict) -> dict:
    """`results` for publication: absolute paths become names, and the command has placeholders such as DATA_DIR."""
    options = results["recipe"].items()
    recipe = {name: public_path(value) if name in ("recipe", *LOCAL_PATHS) else value for name, value in options}
    placeholders = {value: name.upper() for name, value in options if is_local(name, results)}
    words = [_public_word(word, placeholders) for word in shlex.split(results["command"])]
    return {**results, "recipe": recipe, "command": shlex.join(words)}


def is_local(name: str, results: dict) -> bool:
    """Whether an option of the recipe is a path on this machine, and not a model or dataset on the Hub."""
    value = results["recipe"].get(name)
    if name not in LOCAL_PATHS or not value:
        return False
    if name == "data_dir" and results["source"] == "hub":
        return os.path.exists(value.partition(":")[0])
    if name == "pretrained":
        return value != results.get("base_model")
    return True


def _public_word(word: str, placeholders: dict[str, str]) -> str:
    """A word of a command line, `VALUE` or `--option=VALUE`."""
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return option + equals + (placeholders.get(value, public_path(value)) if value else "")


def render_card(model, extractor, results: dict) -> ModelCard:
    """The model card, from the config and the results."""
    public, recipe = without_local_paths(results), results["recipe"]
    name = printable(results.get("name") or Path(recipe["output_dir"]).absolute().name)
    split = list(results["metrics"])[-1] if results["metrics"] else None  # recordings, or test, or validation
    data, project = describe_data(results), _project()
    requirements = [each for each in project["dependencies"] if each.partition(">")[0] in CODE_REQUIREMENTS]
    environment = Environment(
        loader=FileSystemLoader(HERE),
        finalize=lambda value: value if isinstance(value, Markdown) else escape_markdown(value),
    )
    environment.filters["table"] = markdown_table
    content = environment.get_template("model_card.md").render(
        card_data=Markdown(card_data(name, model.config, results, data).to_yaml()),
        name=name,
        quoted_name=Markdown(json.dumps(name, ensure_ascii=False)),
        requirements=Markdown(" ".join(f'"{requirement}"' for requirement in requirements)),
        project_url=Markdown(next(iter(project.get("urls", {}).values()), "")),
        version=__version__,
        config=model.config,
        block=paper.BLOCK_NAMES[model.config.block_type].replace("Basic", "basic"),
        extractor=extractor,
        results=results,
        command=Markdown(printable(public["command"])),
        options=option_rows(public["recipe"], [name for name in recipe if is_local(name, results)]),
        pretrained=results.get("base_model") or Path(recipe["pretrained"] or "").name,
        data=data,
        url=Markdown(data.get("url", "")),
        further=describe_folder(recipe["further"]) if recipe.get("further") else None,
        paper_bibtex=Markdown(PAPER_BIBTEX.read_text(encoding="utf-8").strip()),
        citation=Markdown(data.get("citation", "")),
        paper_score=paper.paper_score(
            results["source"], recipe["variant"], recipe["model_kwargs"], recipe["do_normalize"]
        ),
        clips=clips_rows(results),
        metrics=metrics_rows(results),
        label_split=split,
        labels=results["per_label"][split] if split else [],
        on_people=split == RECORDINGS,
        compared=compared_rows(results),
        history=history_rows(results),
        examples=example_rows(results),
        detection=detection_rows(results),
        similar_run=quickstart_on_people(public["recipe"]),
        det_curve=Markdown(f"![DET curve]({DET_CURVE})"),
    )
    return ModelCard(content)


def _project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def card_data(name: str, config, results: dict, data: dict) -> ModelCardData:
    """The metadata for the Hub: how to load the model, its base model and data, and its scores."""
    # A network that was trained on all clips has no scores but those of other runs with its recipe, which come first.
    scores = results["metrics"] or {
        row["name"]: {results["metric"]: row["mean"]} for row in results.get("compared", [])[:1]
    }
    metrics = next(iter(scores.values()), {})
    widget = [{"src": each["file"], "example_title": each["label"]} for each in results.get("examples", [])]
    return ModelCardData(
        model_name=name,
        language=data.get("language"),
        license=results["recipe"]["license"],
        library_name="transformers",
        pipeline_tag="audio-classification",
        tags=["samplecnn", "raw-waveform", f"{config.block_type}-blocks"],
        datasets=[data["hub"]] if "hub" in data else None,
        metrics=list(dict.fromkeys(metric.partition("@")[0] for metric in metrics if metric not in NOT_SCORES)),
        base_model=results.get("base_model"),
        eval_results=[
            EvalResult(
                task_type="audio-classification",
                dataset_type=data.get("hub", data["title"]) if split != RECORDINGS else RECORDINGS,
                dataset_name=data["title"] if split != RECORDINGS else RECORDINGS,
                dataset_split=split,
                metric_type=metric,
                metric_value=round(value, 4),
            )
            for split, metrics in scores.items()
            for metric, value in metrics.items()
            if metric not in NOT_SCORES
        ],
        **({"widget": widget} if widget else {}),
    )


def describe_data(results: dict) -> dict[str, str]:
    """`title` and `license` of the data and, if known, `content`, `url`, `hub`, `language` and `citation`."""
    source, recipe = results["source"], results["recipe"]
    known = known_data()
    data = {"title": source, "license": "not stated here; see the source of the data"}
    if source == "hub":
        place = recipe["data_dir"].partition(":")[0]
        if is_local("data_dir", results):
            data["title"] = Path(place).absolute().name
        else:
            data |= {"title": place, "hub": place, "url": f"https://huggingface.co/datasets/{quote(place)}"}
    elif source in known:
        data |= known[source]
    else:  # a local folder, or a fold of it
        data |= describe_folder(recipe["data_dir"])
    if results["synthetic"]:
        data = {
            "title": f"Synthetic {source}",
            "content": f"generated clips in the layout of {data['title']}, with labels of the same kind",
            "license": "none needed, samplecnn-hf generated the clips",
            "language": data.get("language"),
        }
    if recipe["data_license"]:
        data["license"] = recipe["data_license"]
    if recipe["language"]:
        data["language"] = recipe["language"]
    return data


def known_data() -> dict[str, dict]:
    return yaml.safe_load((HERE / "datasets.yaml").read_text(encoding="utf-8"))


def describe_folder(path: str) -> dict:
    """Title and, for known datasets, further facts of the data in a folder."""
    name = Path(path).absolute().name
    return {"title": name, **known_data().get(f"folder/{name}", {})}


def clips_rows(results: dict) -> list[dict]:
    """One row per split; the clips that were left out, if there are any."""
    left_out = results["clips_left_out"]
    return [
        {"split": split, "clips": clips, **({"left out": left_out[split]} if any(left_out.values()) else {})}
        for split, clips in results["clips"].items()
    ]


def metrics_rows(results: dict) -> list[dict]:
    """One row per metric, one column per split."""
    splits = results["metrics"]
    rows = [{"metric": "clips", **{split: results["clips"][split] for split in splits}}]
    for metric in dict.fromkeys(name for metrics in splits.values() for name in metrics):
        rows.append({"metric": metric, **{split: metrics.get(metric) for split, metrics in splits.items()}})
    return rows


def detection_rows(results: dict) -> list[dict]:
    """One row per split of the detection in a stream."""
    splits = results.get("detection", {}).get("splits", {})
    return [
        {"split": split, **{name: value for name, value in row.items() if name != "threshold"}}
        for split, row in splits.items()
    ]


def quickstart_on_people(recipe: dict) -> dict | None:
    """How the published network of `make quickstart` does on recordings. None: it had other options than `recipe`."""
    results = json.loads(QUICKSTART.read_text(encoding="utf-8"))
    ignored = MAY_CHANGE | {"data_dir", "recordings", "mixed_precision"}
    if any(recipe.get(name) != value for name, value in results["recipe"].items() if name not in ignored):
        return None
    return {"date": results["date"], **results["detection"]["splits"][RECORDINGS]}


def compared_rows(results: dict) -> list[dict]:
    """One row per run or cross-validation that was compared, with its single scores in the last column."""
    return [
        {**row, "scores": ", ".join(f"{name}: {score:.4f}" for name, score in row["scores"].items())}
        for row in results.get("compared", [])
    ]


def option_rows(recipe: dict, hidden: list[str]) -> list[dict]:
    """One row per option of the recipe, except those in `hidden`."""
    kwargs = " ".join(f"{name}={value}" for name, value in recipe["model_kwargs"].items())
    values = {**recipe, "model_kwargs": kwargs or None}
    return [
        {"option": name, "value": None if value is None else str(value)}
        for name, value in values.items()
        if name not in hidden
    ]


def history_rows(results: dict) -> list[dict]:
    """One row per epoch."""
    return [
        {
            "epoch": record["epoch"],
            "learning rate": f"{record['learning_rate']:.2g}",
            "training loss": record["train_loss"],
            **{f"validation {name}": record["validation"].get(name) for name in ("loss", results["metric"])},
        }
        for record in results["history"]
        if record
    ]


def example_rows(results: dict) -> list[dict]:
    """One row per sound example, with the most probable labels."""
    return [
        {
            "file": example["file"],
            "label": example["label"],
            "predictions": ", ".join(f"{best['label']} {best['score']:.3f}" for best in example["predictions"]),
        }
        for example in results.get("examples", [])
    ]
