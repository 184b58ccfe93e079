"""What a run leaves behind: a folder that the Auto classes and `pipeline` load, with a card that tells the truth."""

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
from samplecnn_hf.text import escape_markdown, printable
from training import paper

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
PAPER_BIBTEX = ROOT / "samplecnn_hf" / "paper.bib"
NOT_SCORES = ("loss", "labels_scored")  # metrics that compare no models
LOCAL_PATHS = ("data_dir", "output_dir", "cache_dir", "pretrained")  # options that may name a place on this machine


class Markdown(str):
    """Text that is Markdown already; all other text is escaped where it goes into a card."""


def write_hub_folder(
    path: Path, model: SampleCNNForAudioClassification, extractor: SampleCNNFeatureExtractor, results: dict
):
    """Write weights, config, code, feature extractor, `results.json` and the card to the folder `path`."""
    model.save_pretrained(path)
    extractor.save_pretrained(path)
    public = json.dumps(without_local_paths(results), indent=2, allow_nan=False)
    (path / "results.json").write_text(public + "\n", encoding="utf-8")
    render_card(model, extractor, results).save(path / "README.md")


# Local paths


def without_local_paths(results: dict) -> dict:
    """
    `results` as anybody may read them: of an absolute path its name is left, and the command has placeholders such as
    DATA_DIR.
    """
    options = results["recipe"].items()
    recipe = {name: public_path(value) if name in ("recipe", *LOCAL_PATHS) else value for name, value in options}
    placeholders = {value: name.upper() for name, value in options if is_local(name, results)}
    words = [_public_word(word, placeholders) for word in shlex.split(results["command"])]
    return {**results, "recipe": recipe, "command": shlex.join(words)}


def is_local(name: str, results: dict) -> bool:
    """Does an option of the recipe name a place on this machine, not a model or data set on the Hub?"""
    value = results["recipe"].get(name)
    if name not in LOCAL_PATHS or not value:
        return False
    if name == "data_dir" and results["source"] == "hub":
        return os.path.exists(value.partition(":")[0])
    if name == "pretrained":
        return value.count("/") != 1 or os.path.exists(value)
    return True


def _public_word(word: str, placeholders: dict[str, str]) -> str:
    """A word of a command line, `VALUE` or `--option=VALUE`."""
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return option + equals + (placeholders.get(value, public_path(value)) if value else "")


def public_path(path: str | None) -> str | None:
    """What may be told of a path: its place in this checkout, or its name; a relative one as it is."""
    if path is None or not os.path.isabs(path):
        return path
    place = Path(os.path.abspath(path))
    return str(place.relative_to(ROOT)) if place.is_relative_to(ROOT) else place.name


# The card


def render_card(model, extractor, results: dict) -> ModelCard:
    """The model card, from the config and the results alone."""
    public, recipe = without_local_paths(results), results["recipe"]
    name = printable(Path(recipe["output_dir"]).absolute().name)
    split = "test" if "test" in results["metrics"] else "validation"
    data = describe_data(results)
    environment = Environment(
        loader=FileSystemLoader(HERE),
        finalize=lambda value: value if isinstance(value, Markdown) else escape_markdown(value),
    )
    content = environment.get_template("model_card.md").render(
        card_data=Markdown(card_data(name, model.config, results, data).to_yaml()),
        name=name,
        quoted_name=Markdown(json.dumps(name, ensure_ascii=False)),
        requirements=Markdown(" ".join(f'"{requirement}"' for requirement in _project()["dependencies"])),
        project=Markdown(project_link()),
        config=model.config,
        extractor=extractor,
        results=results,
        command=Markdown(printable(public["command"])),
        options={option: value for option, value in public["recipe"].items() if not is_local(option, results)},
        pretrained=base_model(results) or Path(recipe["pretrained"] or "").name,
        data=data,
        url=Markdown(data.get("url", "")),
        paper_bibtex=Markdown(PAPER_BIBTEX.read_text(encoding="utf-8").strip()),
        citation=Markdown(data.get("citation", "")),
        source_rates=describe_rates(results.get("source_rates", {})),
        paper_score=paper_score(results),
        duration=duration(results["training_seconds"]),
        splits_table=splits_table(results),
        metrics_table=metrics_table(results),
        label_split=split,
        label_table=markdown_table(results["per_label"][split]),
    )
    return ModelCard(content)


def _project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def project_link() -> str:
    """The package and its version, with the first of the project's addresses where it has one."""
    address = next(iter(_project().get("urls", {}).values()), None)
    return f"[samplecnn-hf]({address}) {__version__}" if address else f"samplecnn-hf {__version__}"


def card_data(name: str, config, results: dict, data: dict) -> ModelCardData:
    """What the Hub reads: how to load the model, what it comes from, and its scores."""
    metrics = next(iter(results["metrics"].values()))
    return ModelCardData(
        model_name=name,
        language=data.get("language"),
        license=results["recipe"]["license"],
        library_name="transformers",
        pipeline_tag="audio-classification",
        tags=["samplecnn", "raw-waveform", f"{config.block_type}-blocks"],
        datasets=[data["hub"]] if "hub" in data else None,
        metrics=list(dict.fromkeys(metric.partition("@")[0] for metric in metrics if metric not in NOT_SCORES)),
        base_model=base_model(results),
        eval_results=[
            EvalResult(
                task_type="audio-classification",
                dataset_type=data.get("hub", data["title"]),
                dataset_name=data["title"],
                dataset_split=split,
                metric_type=metric,
                metric_value=round(value, 4),
            )
            for split, metrics in results["metrics"].items()
            for metric, value in metrics.items()
            if metric not in NOT_SCORES
        ],
    )


def base_model(results: dict) -> str | None:
    """The Hub id of the model that was fine-tuned; a folder of this machine means nothing there."""
    return None if is_local("pretrained", results) else results["recipe"]["pretrained"]


def describe_data(results: dict) -> dict[str, str]:
    """`title` and `license` of the data, and where they are known `content`, `url`, `hub`, `language`, `citation`."""
    source, recipe = results["source"], results["recipe"]
    known = yaml.safe_load((HERE / "datasets.yaml").read_text(encoding="utf-8"))
    data = {"title": source, "license": "not stated here; see where the data come from"}
    if source == "hub":
        place = recipe["data_dir"].partition(":")[0]
        if is_local("data_dir", results):
            data["title"] = Path(place).absolute().name
        else:
            data |= {"title": place, "hub": place, "url": f"https://huggingface.co/datasets/{quote(place)}"}
    elif source in known:
        data |= known[source]
    else:  # a folder of the user's own, or a fold of it
        data["title"] = Path(recipe["data_dir"]).absolute().name
    if results["synthetic"]:
        data = {
            "title": f"Synthetic {source}",
            "content": f"clips made by a program in the layout of {data['title']}, with its kind of labels",
            "license": "none is needed, samplecnn-hf made the clips",
            "language": data.get("language"),
        }
    if recipe["data_license"]:
        data["license"] = recipe["data_license"]
    if recipe.get("language"):
        data["language"] = recipe["language"]
    return data


def paper_score(results: dict) -> float | None:
    """What the paper reports for the same network, input and data set (Fig. 6)."""
    if results["recipe"].get("model_kwargs") or results["recipe"]["do_normalize"]:
        return None
    return paper.paper_score(results["source"], results["recipe"]["variant"])


def splits_table(results: dict) -> str:
    """A row a split: clips used, and clips that were missing, broken or too short."""
    return markdown_table(
        [
            {"split": split, "clips": clips, "left out": results["clips_left_out"][split]}
            for split, clips in results["clips"].items()
        ]
    )


def metrics_table(results: dict) -> str:
    """A row a metric, a column a split."""
    splits = results["metrics"]
    rows = [{"metric": "clips", **{split: results["clips"][split] for split in splits}}]
    for metric in dict.fromkeys(name for metrics in splits.values() for name in metrics):
        rows.append({"metric": metric, **{split: metrics.get(metric) for split, metrics in splits.items()}})
    return markdown_table(rows)


def describe_rates(source_rates: dict[str, list[int]]) -> str:
    """The sampling rates of the recordings, such as "16,000 Hz" or "8,000 to 48,000 Hz"; {split: [Hz, ...]} in."""
    rates = sorted({rate for rates in source_rates.values() for rate in rates})
    return " to ".join(f"{rate:,}" for rate in dict.fromkeys((rates[0], rates[-1]))) + " Hz" if rates else ""


def markdown_table(rows: list[dict]) -> Markdown:
    """Rows with the same keys as a table in Markdown; None is a dash."""
    lines = [
        [escape_markdown(column) for column in rows[0]],
        ["---"] * len(rows[0]),
        *([_cell(value) for value in row.values()] for row in rows),
    ]
    return Markdown("\n".join(f"| {' | '.join(cells)} |" for cells in lines))


def _cell(value: float | int | str | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else escape_markdown(value)


def duration(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
