"""What a run leaves behind: a folder that the Auto classes and `pipeline` load, with a card that tells the truth."""

import json
from pathlib import Path

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from samplecnn_hf import SampleCNNFeatureExtractor, SampleCNNForAudioClassification

CARDS = Path(__file__).parents[1] / "model_cards"
PAPER = Path(__file__).with_name("paper.yaml")
NOT_SCORES = ("loss", "labels_scored")  # metrics that compare no models


def write_hub_folder(
    path: Path, model: SampleCNNForAudioClassification, extractor: SampleCNNFeatureExtractor, results: dict
):
    """Write weights, config, code, feature extractor, `results.json` and the card to the folder `path`."""
    model.save_pretrained(path)
    extractor.save_pretrained(path)
    (path / "results.json").write_text(json.dumps(results, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    render_card(model, extractor, results).save(path / "README.md")


def render_card(model, extractor, results: dict) -> ModelCard:
    """The model card, from the config and the results alone."""
    name = Path(results["recipe"]["output_dir"]).name
    split = "test" if "test" in results["metrics"] else "validation"
    data = describe_data(results)
    return ModelCard.from_template(
        card_data(name, model.config, results, data),
        template_path=str(CARDS / "template.md"),
        name=name,
        config=model.config,
        extractor=extractor,
        results=results,
        data=data,
        paper_score=paper_score(results),
        duration=duration(results["training_seconds"]),
        splits_table=splits_table(results),
        metrics_table=metrics_table(results),
        label_split=split,
        label_table=markdown_table(results["per_label"][split]),
    )


def card_data(name: str, config, results: dict, data: dict) -> ModelCardData:
    """What the Hub reads: how to load the model, what it comes from, and its scores."""
    metrics = next(iter(results["metrics"].values()))
    return ModelCardData(
        model_name=name,
        license=results["recipe"]["license"],
        library_name="transformers",
        pipeline_tag="audio-classification",
        tags=["samplecnn", "raw-waveform", f"{config.block_type}-blocks"],
        datasets=[data["hub"]] if "hub" in data else None,
        metrics=list(dict.fromkeys(metric.partition("@")[0] for metric in metrics if metric not in NOT_SCORES)),
        base_model=base_model(results["recipe"]["pretrained"]),
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


def base_model(pretrained: str | None) -> str | None:
    """The Hub id of the model that was fine-tuned; a folder of this machine means nothing there."""
    return pretrained if pretrained and pretrained.count("/") == 1 and not Path(pretrained).exists() else None


def describe_data(results: dict) -> dict[str, str]:
    """`title` and `license` of the data, and where they are known `content`, `url`, `hub` and `citation`."""
    source, recipe = results["source"], results["recipe"]
    known = yaml.safe_load((CARDS / "datasets.yaml").read_text(encoding="utf-8"))
    data = {"title": source, "license": "not stated here; see where the data come from"}
    if source == "hub":
        hub_id = recipe["data_dir"].partition(":")[0]
        data["title"] = Path(hub_id).name if Path(hub_id).exists() else hub_id
        if not Path(hub_id).exists():
            data |= {"hub": hub_id, "url": f"https://huggingface.co/datasets/{hub_id}"}
    elif source in known:
        data |= known[source]
    else:  # a folder of the user's own, or a fold of it
        data["title"] = Path(recipe["data_dir"]).name
    if results["synthetic"]:
        data = {
            "title": f"Synthetic {source}",
            "content": f"clips made by a program in the layout of {data['title']}, with its kind of labels",
            "license": "none is needed, samplecnn-hf made the clips",
        }
    if recipe["data_license"]:
        data["license"] = recipe["data_license"]
    return data


def paper_score(results: dict) -> float | None:
    """What the paper reports for the same network, input and data set (Fig. 6)."""
    if results["recipe"].get("overrides") or results["recipe"]["do_normalize"]:
        return None
    figure_6 = yaml.safe_load(PAPER.read_text(encoding="utf-8"))["figure_6"]
    return figure_6.get(results["source"], {}).get(results["recipe"]["variant"])


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


def markdown_table(rows: list[dict]) -> str:
    """Rows with the same keys as a table in Markdown; None is a dash."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cell(value: float | int | str | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else str(value).replace("|", "\\|")


def duration(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
