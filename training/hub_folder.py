"""What a run leaves behind: a folder that the Auto classes and `pipeline` load, with a card that tells the truth."""

import json
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from samplecnn_hf import SampleCNNFeatureExtractor, SampleCNNForAudioClassification

TEMPLATE = Path(__file__).parents[1] / "model_cards" / "template.md"


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
    metadata = ModelCardData(
        model_name=name,
        license="apache-2.0",
        library_name="transformers",
        pipeline_tag="audio-classification",
        tags=["samplecnn", "raw-waveform", f"{model.config.block_type}-blocks"],
        eval_results=[
            EvalResult(
                task_type="audio-classification",
                dataset_type=results["source"],
                dataset_name=results["source"],
                dataset_split=split,
                metric_type=metric,
                metric_value=round(value, 4),
            )
            for split, metrics in results["metrics"].items()
            for metric, value in metrics.items()
            if metric != "loss"
        ],
    )
    return ModelCard.from_template(
        metadata, template_path=str(TEMPLATE), name=name, config=model.config, extractor=extractor, results=results
    )
