import json
import re
import tomllib
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from samplecnn_hf import SampleCNNConfig, __version__
from samplecnn_hf.text import printable
from tests.conftest import NASTY_NAMES
from tests.training.scores import MULTI_LABEL, RECIPE, SINGLE_LABEL
from training import recipe
from training.data import SOURCES
from training.loop import model_card
from training.loop.model_card import without_local_paths, write_hub_folder

FOLDS = [("four folds", 0.9), ("from scratch", 0.7)]


@pytest.fixture
def write(tmp_path, make_model, tiny_extractor):
    """write(results, thresholds=None, **recipe): the card in the folder, and its text."""

    def write(
        scores: dict,
        thresholds=None,
        training_seconds=600.0,
        source="folder",
        synthetic=False,
        command="train.py",
        source_rates=None,
        base_model=None,
        left_out=0,
        **recipe,
    ) -> ModelCard:
        results = {
            "date": "2026-11-22",
            "command": command,
            "base_model": base_model,
            "source_rates": source_rates or {},
            "recipe": {**RECIPE, **recipe},
            "source": source,
            "metric": "accuracy",
            "synthetic": synthetic,
            "clips": {"train": 36, **{split: 12 for split in scores["metrics"]}},
            "clips_left_out": {"train": left_out, **{split: 0 for split in scores["metrics"]}},
            "parameters": 1234567,
            "giga_macs": 0.6451,
            "segments_per_second": 55.5,
            "kept_epoch": 2,
            "training_seconds": training_seconds,
            "mixed_precision": "no",
            "hardware": "cpu",
            "versions": {"torch": "2.13.0"},
            "history": [{}, {}, {}],
            **scores,
        }
        write_hub_folder(tmp_path, make_model("test-se", thresholds=thresholds), tiny_extractor, results)
        saved = json.loads((tmp_path / "results.json").read_text())
        assert saved == without_local_paths(results) and saved["metrics"] == results["metrics"]
        return ModelCard.load(tmp_path / "README.md")

    return write


def scores_of(card: ModelCard) -> dict:
    """The scores that the Hub reads, by split and metric."""
    return {(result.dataset_split, result.metric_type): result.metric_value for result in card.data.eval_results}


def test_scores_survive_the_round_trip_through_the_card(write):
    card = write(SINGLE_LABEL)
    assert scores_of(card) == {
        ("validation", "accuracy"): 0.75,
        ("validation", "accuracy@0.5"): 0.5,
        ("validation", "f1_macro"): 0.7,
        ("test", "accuracy"): 0.7123,
        ("test", "accuracy@0.5"): 0.45,
        ("test", "f1_macro"): 0.65,
    }
    assert {result.dataset_name for result in card.data.eval_results} == {"birds"}
    assert card.data.pipeline_tag == "audio-classification"
    assert scores_of(write(MULTI_LABEL)) == {
        ("validation", "f1_samples@0.1"): 0.3,
        ("validation", "f1_samples@tuned"): 0.8,
    }


def test_a_network_without_scores_has_those_of_the_first_compared_run(write):
    rows = [{"name": name, "runs": 1, "mean": mean, "sd": None, "scores": {"fold 1": mean}} for name, mean in FOLDS]
    card = write({"metrics": {}, "interval": {}, "per_label": {}, "labels": ["yes", "no"], "compared": rows})
    assert scores_of(card) == {("four folds", "accuracy"): 0.9}
    assert "| four folds | 1 | 0.9000 | – | fold 1: 0.9000 |\n| from scratch | 1 | 0.7000 |" in card.text
    assert "none were held out to score it" in card.text and "yes, no" in card.text


def test_card_of_a_single_label_model(write):
    text = write(SINGLE_LABEL).text
    assert (
        "\n\n| metric | validation | test |\n| --- | --- | --- |\n| clips | 12 | 12 |\n| loss | 0.5000 | 0.6000 |\n"
        "| accuracy | 0.7500 | 0.7123 |\n"
    ) in text
    assert "Scores on the test split:" in text and "validation only" not in text
    assert "| yes | 9 | 0.8750 | 1.0000 | 0.9333 |\n| no\\|nope | 0 | – | – | – |\n" in text
    assert "| learning_rate | 0.01 |" in text
    assert "`accuracy@0.5` counts" in text
    assert "| split | clips |\n| --- | --- |\n| train | 36 |\n" in text
    for absent in ("tuned", "Not scored", "ynthetic", "\n\n\n"):
        assert absent not in text


def test_card_lists_clips_that_were_left_out(write):
    text = write(SINGLE_LABEL, left_out=3).text
    assert "| split | clips | left out |\n| --- | --- | --- |\n| train | 36 | 3 |\n| validation | 12 | 0 |\n" in text
    assert "\n\nFiles that cannot be decoded or are too short were left out." in text


def test_card_of_a_multi_label_model(write):
    text = write(MULTI_LABEL, thresholds=[0.25, 0.5]).text
    assert "| labels_scored | 1 |\n| f1_samples@0.1 | 0.3000 |" in text
    assert "Scores on the validation split:" in text
    assert "| guitar | 3 | 0.9000 | 0.8000 | 0.2500 |\n| flute | 0 | – | – | 0.5000 |\n" in text
    assert "\nNot scored on the validation split, because no clip or every clip has them: flute.\n" in text
    assert '\nclassifier("clip.wav", threshold="tuned")' in text
    assert "\n\n\n" not in text


def test_thresholds_are_in_the_model(write, tmp_path):
    write(MULTI_LABEL, thresholds=[0.25, 0.5])
    assert SampleCNNConfig.from_pretrained(tmp_path).thresholds == [0.25, 0.5]


def test_scores_on_synthetic_data_say_so(write):
    card = write(SINGLE_LABEL, synthetic=True)
    assert "\n**Synthetic data**" in card.text
    assert {result.dataset_name for result in card.data.eval_results} == {"Synthetic folder"}


def test_scores_on_a_stand_in_are_not_filed_under_the_dataset(write):
    card = write(SINGLE_LABEL, source="speech_commands", synthetic=True)
    assert {result.dataset_type for result in card.data.eval_results} == {"Synthetic speech_commands"}
    assert card.data.datasets is None


def test_data_of_the_hub_are_named(write):
    card = write(SINGLE_LABEL, source="hub", data_dir="org/name:config")
    assert {result.dataset_type for result in card.data.eval_results} == {"org/name"}
    assert card.data.datasets == ["org/name"]
    assert "<https://huggingface.co/datasets/org/name>" in card.text


def test_data_in_a_local_folder_are_not_said_to_be_on_the_hub(write, tmp_path):
    card = write(SINGLE_LABEL, source="hub", data_dir=str(tmp_path))
    assert card.data.datasets is None and "huggingface.co/datasets" not in card.text


def test_a_fold_of_a_folder(write):
    assert {result.dataset_name for result in write(SINGLE_LABEL, source="folder-fold1").data.eval_results} == {
        "birds"
    }


def test_licenses_of_weights_and_data(write):
    card = write(SINGLE_LABEL, data_license="CC BY 3.0")
    assert card.data.license == "mit"
    assert "License of the data: CC BY 3.0. License of these weights: mit." in card.text
    assert "License of the data: not stated here" in write(SINGLE_LABEL).text
    assert "License of the data: CC BY 4.0." in write(SINGLE_LABEL, source="speech_commands").text


@pytest.mark.parametrize("name", sorted(set(SOURCES) - {"folder", "folder-all", "hub"}))
def test_every_data_set_known_by_name_is_described(write, name):
    card = write(MULTI_LABEL, source=name)
    assert "not stated here" not in card.text and card.text.count("```bibtex\n@") == 2


@pytest.mark.parametrize("pretrained, base_model", [("org/model", "org/model"), ("runs/model", None)])
def test_base_model_is_an_id_of_the_hub(write, pretrained, base_model):
    card = write(
        SINGLE_LABEL, pretrained=pretrained, base_model=base_model, command=f"train.py --pretrained {pretrained}"
    )
    assert card.data.base_model == base_model
    assert f"Fine-tuned from {base_model or 'model'}. Trained on" in card.text
    assert ("--pretrained PRETRAINED" in card.text) == (base_model is None)


def test_scores_of_the_quickstart_are_told_for_its_options_only():
    options = json.loads(model_card.QUICKSTART.read_text())["recipe"]
    row = model_card.quickstart_on_people({**options, "output_dir": "runs/mine", "threads": 2, "recordings": None})
    assert row["keyword_clips"] > 0 and 0 < row["keyword_accuracy"] < 1
    assert model_card.quickstart_on_people({**options, "num_epochs": 1}) is None


def test_score_of_the_paper_stands_beside(write):
    card = write(SINGLE_LABEL, source="speech_commands", variant="se-8")
    assert "The paper reports accuracy 0.9395 for `se-8` on the test split of speech_commands" in card.text
    assert "another dataset" not in card.text
    assert "another dataset" in write(SINGLE_LABEL, source="speech_commands", synthetic=True).text
    assert "The paper reports" not in write(SINGLE_LABEL, source="magnatagatune-26k", variant="se-9").text
    assert "The paper reports" not in write(SINGLE_LABEL, source="speech_commands", do_normalize=True).text


def test_spread_size_and_splits(write):
    text = write(SINGLE_LABEL).text
    assert "95 % bootstrap interval of accuracy over the test clips: 0.6800 to 0.7400." in text and "(seed 7)" in text
    assert "| weights | 4.9 MB in float32 |" in text and "| 0.645 G |" in text and "| 55.5 (cpu) |" in text


@pytest.mark.parametrize("seconds, told", [(3.4, "3 seconds"), (119.0, "119 seconds"), (150.0, "2 minutes")])
def test_training_time(write, seconds, told):
    assert f"in {told} (cpu" in write(SINGLE_LABEL, training_seconds=seconds).text


@pytest.fixture
def local(tmp_path, monkeypatch):
    """Options of a run whose every path is absolute, on a machine whose folders tell too much."""
    home = tmp_path / "home" / "ann"
    for name in ("birds", "base"):
        (home / name).mkdir(parents=True)
    monkeypatch.chdir(home)
    return {
        "recipe": str(home / "my.yaml"),
        "data_dir": str(home / "birds"),
        "output_dir": str(home / "runs" / "mine"),
        "cache_dir": str(home / "cache"),
        "pretrained": str(home / "base"),
    }


def test_no_local_path_is_told(write, local, tmp_path):
    options = [f"--{name}={value}" for name, value in local.items()]
    command = f"train.py {' '.join(options)} --cache_dir '{tmp_path}/a b' --data_dir {local['data_dir']} --seed 7"
    card = write(SINGLE_LABEL, command=command, **local)
    for file in ("README.md", "results.json"):
        text = (tmp_path / file).read_text()
        assert str(tmp_path) not in text and "home" not in text and "ann" not in text
    assert (
        "\ntrain.py --recipe=my.yaml --data_dir=DATA_DIR --output_dir=OUTPUT_DIR --cache_dir=CACHE_DIR "
        "--pretrained=PRETRAINED --cache_dir 'a b' --data_dir DATA_DIR --seed 7\n"
    ) in card.text
    assert "Fine-tuned from base. Trained on" in card.text and card.data.base_model is None
    assert card.data.model_name == "mine" and "Trained on birds." in card.text


def test_relative_paths_are_told_to_this_machine_only(write, local, tmp_path):
    recipe = {"data_dir": "birds", "output_dir": "runs/mine", "cache_dir": "../cache", "pretrained": "./base"}
    recipe["recipe"] = "training/recipes/speech_commands/modern.yaml"
    text = write(SINGLE_LABEL, command="train.py --data_dir birds --output_dir=runs/mine", **recipe).text
    assert "\ntrain.py --data_dir DATA_DIR --output_dir=OUTPUT_DIR\n" in text
    assert "| recipe | training/recipes/speech_commands/modern.yaml |" in text
    for absent in ("runs/", "../", "./base", "| data_dir |", "| output_dir |", "| cache_dir |", "| pretrained |"):
        assert absent not in text
    saved = json.loads((tmp_path / "results.json").read_text())["recipe"]
    assert {name: saved[name] for name in recipe} == recipe  # analyses of the run find its data again


def test_hub_ids_are_told(write):
    card = write(
        SINGLE_LABEL, source="hub", data_dir="org/birds:en:name", pretrained="org/base", base_model="org/base"
    )
    assert "| data_dir | org/birds:en:name |" in card.text and "Fine-tuned from org/base." in card.text


@pytest.mark.parametrize("name", NASTY_NAMES)
def test_names_are_shown_as_they_are(write, name):
    scores = {**SINGLE_LABEL, "per_label": {"test": [{"label": name, "clips": 1, "f1": 1.0}]}}
    scores["unscored_labels"] = {"test": ["first", name]}
    card = write(scores, output_dir=f"runs/{name}", data_dir=f"sounds/{name}", data_license=name, license=name)
    folder = Path(f"sounds/{name}").name  # of a name with slashes, the last part
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(card.text)
    blocks = {token.content.strip() for token in tokens if token.type == "html_block"}
    assert blocks == {"<details><summary>Options</summary>", "</details>"}
    texts = []
    for token in tokens:
        children = token.children or []
        assert not {child.type for child in children} & {"html_inline", "image", "em_open", "strong_open", "s_open"}
        links = [child.attrGet("href") for child in children if child.type == "link_open"]
        assert not [link for link in links if "127.0.0.1" in link]
        texts.append("".join(child.content for child in children))
    literal, place = printable(name), printable(folder)
    assert literal.strip() in texts  # the cell of the table
    assert texts[1] == place.strip()  # the heading
    assert any(text.startswith(f"Trained on {place}.") for text in texts)
    assert any(f"License of the data: {literal}. License of these weights: {literal}." in text for text in texts)
    assert any(f"every clip has them: first, {literal}." in text for text in texts)
    fences = [token for token in tokens if token.type == "fence"]
    code = next(token.content for token in fences if "AutoFeatureExtractor" in token.content)
    assert f"from_pretrained({json.dumps(place, ensure_ascii=False)}, trust" in code
    assert card.data.model_name == place and card.data.license == name


@pytest.mark.parametrize(
    "source, recipe, language",
    [
        ("speech_commands", {}, "en"),
        ("magnatagatune", {}, None),
        ("folder", {}, None),
        ("folder", {"language": "ar"}, "ar"),
    ],
)
def test_language(write, source, recipe, language):
    for synthetic in (False, True):
        assert write(SINGLE_LABEL, source=source, synthetic=synthetic, **recipe).data.language == language


@pytest.mark.parametrize(
    "rates, told",
    [
        ({"train": [16000], "test": [16000]}, " Sampling rate of the clips: 16,000 Hz."),
        ({"train": [48000, 8000], "test": [16000]}, " Sampling rate of the clips: 8,000 to 48,000 Hz."),
        ({}, None),
        ({"train": []}, None),
    ],
)
def test_source_rates(write, rates, told):
    text = write(SINGLE_LABEL, source_rates=rates).text
    assert told in text if told else "Sampling rate" not in text


def test_citations_are_bibtex(write):
    papers = re.findall(
        r"```bibtex\n(@\w+\{\w+,\n.*?\n\})\n```", write(SINGLE_LABEL, source="dcase2017").text, re.DOTALL
    )
    assert len(papers) == 2 and "doi = {10.1109/JSTSP.2019.2909479}" in papers[0] and "Mesaros" in papers[1]
    assert all(paper.count("{") == paper.count("}") for paper in papers)
    assert write(SINGLE_LABEL).text.count("```bibtex") == 1


def test_what_to_install_is_what_the_code_needs(write):
    text = write(SINGLE_LABEL).text
    assert '"transformers>=5.4"' in text
    (line,) = re.findall(r"^pip install (.*)$", text, re.MULTILINE)
    project = tomllib.loads((recipe.ROOT / "pyproject.toml").read_text())["project"]
    requirements = [word.strip('"') for word in line.split()]
    assert set(requirements) < set(project["dependencies"])
    assert [each.partition(">")[0] for each in requirements] == ["torch", "transformers", "soundfile", "soxr"]


def test_project_link(write, monkeypatch):
    assert f"with samplecnn-hf {__version__} in" in write(SINGLE_LABEL, training_seconds=3).text
    monkeypatch.setattr(model_card, "_project", lambda: {"dependencies": [], "urls": {"Source": "https://x.org/y"}})
    assert f"with [samplecnn-hf](https://x.org/y) {__version__} in" in write(SINGLE_LABEL).text


def test_a_model_object_needs_the_class_of_its_pipeline(write):
    assert "pipeline_class=type(classifier)" in write(SINGLE_LABEL).text
