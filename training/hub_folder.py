"""What a run leaves behind: a folder that the Auto classes and `pipeline` load, with a card that tells the truth."""

import json
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from samplecnn_hf import SampleCNNFeatureExtractor, SampleCNNForAudioClassification

TEMPLATE = Path(__file__).parents[1] / "model_cards" / "template.md"
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
    return ModelCard.from_template(
        card_data(name, model.config, results),
        template_path=str(TEMPLATE),
        name=name,
        config=model.config,
        extractor=extractor,
        results=results,
        duration=duration(results["training_seconds"]),
        metrics_table=metrics_table(results),
        label_split=split,
        label_table=markdown_table(results["per_label"][split]),
    )


def card_data(name: str, config, results: dict) -> ModelCardData:
    """What the Hub reads: how to load the model, and its scores."""
    source = results["source"]
    dataset = results["recipe"]["data_dir"].partition(":")[0] if source == "hub" else source
    synthetic = " (synthetic data)" if results["synthetic"] else ""
    return ModelCardData(
        model_name=name,
        license="apache-2.0",
        library_name="transformers",
        pipeline_tag="audio-classification",
        tags=["samplecnn", "raw-waveform", f"{config.block_type}-blocks"],
        eval_results=[
            EvalResult(
                task_type="audio-classification",
                dataset_type=dataset,
                dataset_name=dataset + synthetic,
                dataset_split=split,
                metric_type=metric,
                metric_value=round(value, 4),
            )
            for split, metrics in results["metrics"].items()
            for metric, value in metrics.items()
            if metric not in NOT_SCORES
        ],
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
