"""Numbers in README.md and docs/ are those of the files that scripts wrote."""

import json
import statistics
from pathlib import Path

import pytest

from training.experiments import EXPERIMENTS
from training.experiments.output import page

ROOT = Path(__file__).parents[1]


def read(page: str) -> str:
    """The text of a page, on one line."""
    return " ".join((ROOT / page).read_text().split())


def rows(page: str, section: str = "") -> dict[str, list[str]]:
    """The cells of the rows of the tables of a page or of one section, without emphasis, by the first cell."""
    _, _, text = ("\n" + (ROOT / page).read_text()).partition(f"# {section}\n" if section else "\n")
    lines = (text.partition("\n#")[0] if section else text).splitlines()
    table = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {cells[0]: cells[1:] for cells in table}


def load(file: str) -> dict:
    return json.loads((ROOT / file).read_text())


def results(name: str) -> dict:
    return load(f"docs/results/{name}.json")


def test_quickstart():
    run = results("quickstart")
    minutes = f"{run['training_seconds'] / 60:.1f} minutes"
    synthetic, people = (run["detection"]["splits"][split] for split in ("test", "recordings"))
    voices = f"{100 * synthetic['keyword_accuracy']:.1f} % of the clips of held-out"
    recordings = f"and {100 * people['keyword_accuracy']:.1f} % of {people['keyword_clips']} recordings of people"
    for document in ("README.md", "docs/results.md"):
        for text in (minutes, voices, recordings):
            assert text in " ".join(read(document).split())
    assert f"it [misses {100 * people['miss_rate']:.1f} %](docs/results.md#synthetic-data)" in read("README.md")
    assert f"it misses {100 * people['miss_rate']:.1f} % of the recorded words" in read("docs/results.md")


def fine_tuning() -> tuple[list[float], float, list[float]]:
    """Test accuracies in % of the recipe with each seed, and of the example; seconds of all."""
    methods = load("benchmarks/results/fine_tuning.json")["methods"].values()
    *recipe, example = (100 * method["test_accuracy"] for method in methods)
    return recipe, example, [method["seconds"] for method in methods]


@pytest.mark.parametrize("page", ["README.md", "docs/finetuning.md"])
def test_fine_tuning(page):
    recipe, example, seconds = fine_tuning()
    *first, last = (f"{accuracy:.1f}" for accuracy in recipe)
    assert f"**{', '.join(first)} and {last} %**" in read(page)
    assert f"the script {example:.1f} %" in read(page)
    assert f"{min(seconds):.0f} to {max(seconds):.0f}" in read(page).replace("\n", " ")


def test_recorded_speech():
    files = {path.stem for path in (ROOT / "docs" / "results").glob("arabic_*.json")}
    table = {name: row for name, row in rows("docs/results.md", "Recorded speech").items() if len(row) == 4}
    for name, (accuracy, best_epoch, minutes, file) in table.items():
        if not name.startswith("`"):
            continue  # the heading
        run = load(file.strip("`"))
        files.remove(Path(file.strip("`")).stem)
        recipe = name.split("`")[1]
        assert run["recipe"]["recipe"] == f"training/recipes/speech_commands/{recipe}.yaml"
        assert float(accuracy.strip("* %")) == round(100 * run["metrics"]["validation"]["accuracy"], 2)
        assert int(best_epoch) == run["kept_epoch"]
        assert float(minutes) == round(run["training_seconds"] / 60, 1)
    assert not files


@pytest.mark.parametrize(
    ("name", "text"),
    [("modern", "**{:.2f} %** on average (standard deviation {:.2f} points)"), ("phase", "{:.2f} % ({:.2f} points)")],
)
def test_seeds_on_recorded_speech(name, text):
    runs = [results(f"arabic_{name}{seed}") for seed in ("", "_seed1", "_seed2")]
    assert [run["recipe"]["seed"] for run in runs] == [0, 1, 2]
    scores = [100 * run["metrics"]["validation"]["accuracy"] for run in runs]
    assert text.format(statistics.fmean(scores), statistics.stdev(scores)) in read("docs/results.md")


def test_robustness():
    accuracy = load("benchmarks/results/robustness.json")["accuracy"]
    table = rows("docs/results.md", "Recorded speech")
    for recordings, without in accuracy["samplecnn-arabic-speech-commands"].items():
        assert table[recordings] == [f"{100 * without:.1f}", f"{100 * accuracy['arabic_phase'][recordings]:.1f}"]


@pytest.mark.parametrize("recipe", ["modern", "paper"])
def test_accuracy_per_epoch(recipe):
    history = results(f"arabic_{recipe}")["history"]
    expected = [f"{100 * epoch['validation']['accuracy']:.1f}" for epoch in history]
    assert rows("docs/results.md")[f"`{recipe}` per epoch"] == expected


def test_transfer_from_urban_sounds():
    table = rows("docs/results.md")
    for name, scores in load("benchmarks/results/segment_averaging.json")["mean"].items():
        assert table[name] == [f"{100 * scores['accuracy']:.1f} %", f"{scores['loss']:.3f}"]


def test_cross_validation():
    summary = results("esc10")
    accuracy = f"{100 * summary['accuracy_mean']:.1f} %"
    text = read("docs/results.md")
    assert f"**{accuracy} (standard deviation {100 * summary['accuracy_std']:.1f} points)**" in text
    folds = ", ".join(f"{100 * fold['accuracy']:.1f}" for fold in summary["folds"].values())
    minutes = sum(fold["seconds"] for fold in summary["folds"].values()) / 60
    assert f"folds 1-4: {folds} %; {minutes:.0f} minutes" in text


@pytest.mark.parametrize("task", ["speech", "music", "scenes"])
def test_synthetic_data(task):
    run = results(f"synthetic_{task}")
    assert run["synthetic"] and run["recipe"]["recipe"].endswith("/paper.yaml")
    data, clips, epochs, score, minutes = rows("docs/results.md")[f"`{run['source']}`"]
    assert data == task
    assert clips == " / ".join(f"{count:,}" for count in run["clips"].values())
    assert int(epochs) == len(run["history"])
    assert score.endswith(f"{run['metrics']['test'][run['metric']]:.3f}")
    assert float(minutes) == round(run["training_seconds"] / 60, 1)


def test_preparation():
    benchmark = load("benchmarks/results/preparation.json")
    table, text = rows("docs/speed.md"), read("docs/speed.md")
    for name, milliseconds in benchmark["milliseconds_per_clip"].items():
        assert table[name] == [str(milliseconds)]
    assert f"{benchmark['speed_up_over_librosa']} times as fast" in text
    assert f"takes {benchmark['time_over_bare_decoding']} times the time" in text
    memory = benchmark["peak_memory_mb_by_clips"]
    assert f"{', '.join(map(str, memory.values()))} MB with {', '.join(memory)} clips" in text


def test_training_step():
    benchmark = load("benchmarks/results/training_step.json")
    table, networks = rows("docs/speed.md", "Training step"), benchmark["networks"]
    for name in networks["se-9"]["segments_per_second"]:
        values = [(net["segments_per_second"][name], net["ratio_to_plain_float32"][name]) for net in networks.values()]
        assert table[name] == [str(value) for pair in values for value in pair]
    limit, text = benchmark["convolution_limit"], read("docs/speed.md")
    *_, fastest = networks[limit["network"]]["segments_per_second"].values()
    share = f"{fastest / limit['segments_per_second']:.0%} of the {limit['segments_per_second']} segments per second"
    assert f"For `{limit['network']}`, the last row is {share}" in text
    assert f"take {benchmark['augmentation']['share_of_step']:.0%} of its training step" in text


def test_inference():
    benchmark = load("benchmarks/results/inference.json")
    table, text = rows("docs/speed.md", "Inference"), read("docs/speed.md")
    for name, values in benchmark["cpu"].items():
        one, sixteen = (values["segments_per_second"][size] for size in ("1", "16"))
        ratio = values["ratio_to_plain_float32"]["16"]
        limit = [f"{values['fraction_of_limit'][size]:.0%}" for size in ("1", "16") if "fraction_of_limit" in values]
        memory = values["peak_memory_mb"]["16"]
        assert table[name] == [f"{one:.1f}", f"{sixteen:.1f}", f"{ratio:.2f}", " / ".join(limit), f"{memory:,}"]
    limits = [each["segments_per_second"] for each in benchmark["convolution_limit"].values()]
    assert "limit is {:.1f} segments per second in float32 and {:.1f} in bf16".format(*limits) in text
    for name, seconds in benchmark["cold_start_seconds"].items():
        assert table[name] == [f"{seconds:.2f}"]


def test_precision():
    benchmark = load("benchmarks/results/precision.json")
    table = rows("docs/speed.md", "Precision")
    assert f"int8 is calibrated on {benchmark['calibration_clips']} training clips" in read("docs/speed.md")
    for name, scores in benchmark["scores"].items():
        size = f"{scores['megabytes']:.1f}" if "megabytes" in scores else ""
        assert table[name] == [f"{100 * scores['accuracy']:.2f} %", f"{scores['points']:+.2f}", size]


def test_long_audio():
    benchmark = load("benchmarks/results/long_audio.json")
    table = rows("docs/speed.md")
    assert benchmark["audio_seconds"] == 3600
    for name in ("pipeline", "runtime", "command line"):
        assert table[f"{name}, one hour"] == [f"{benchmark[name]['seconds']:.0f}", str(benchmark[name]["mb"])]
    assert f"an hour takes {benchmark['pipeline']['mb']} MB" in read("README.md")


def test_timelines():
    benchmark = load("benchmarks/results/timeline.json")
    table, text = rows("docs/speed.md"), read("docs/speed.md")
    for variant, ratios in benchmark["time_relative_to_consecutive"].items():
        shown = [ratios["hop 1/3"], ratios["hop 1/3, separately"], ratios["hop 1/9"], benchmark["memory_mb"][variant]]
        assert table[f"`{variant}`"] == [str(value) for value in shown]
    stream = benchmark["stream"]
    assert f"A row of `{stream['network']}` takes {stream['milliseconds_per_row']} ms" in text
    assert f"memory for {benchmark['memory_seconds'] // 60} minutes" in text


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "experiments").glob("*/*.json")), ids=lambda path: path.stem)
def test_pages_of_experiments(path):
    name, result = path.stem, load(path)
    assert not result["quick"] and result.get("runs", {}).get("finished") == result.get("runs", {}).get("planned")
    figures = [table for table in result["tables"] if (path.parent / f"{table}.png").is_file()]
    assert name in figures
    assert path.with_suffix(".md").read_text() == page(result, EXPERIMENTS[name].title, figures)
    assert f"({path.parent.name}/{name}.md)" in (path.parents[1] / "README.md").read_text()


def test_comparisons_with_three_seeds():
    text, folder = read("docs/experiments/README.md"), "docs/experiments/arabic_six_speakers"
    blocks, tests = load(f"{folder}/figure_6.json")["tables"].values()
    mean = {row["network"]: f"{100 * row['mean']:.1f}" for row in blocks}
    assert f"({mean['se-8']} and {mean['basic-8']} %)" in text
    assert f"({mean['rese2-8']} and {mean['res2-8']} %; p = {tests[2]['p']:.2f}" in text
    by_res2, by_rese2 = (f"{100 * row['difference of means']:.0f}" for row in tests[:2])
    assert f"by {by_rese2} and {by_res2} points (p = {tests[0]['p']:.3f} for both)" in text
    (strided,) = load(f"{folder}/figure_5.json")["tables"].values()
    means = [row["mean"] for row in strided]
    assert [row["strided convolutions"] for row in strided] == list(range(8)) and means == sorted(means, reverse=True)
    none, four, seven = (f"{100 * means[i]:.1f} %" for i in (0, 4, 7))
    assert f"from {none} (none) to {four} (four) and {seven} (seven)" in text
    inputs, words = load(f"{folder}/table_5.json")["tables"].values()
    basic, plain_basic, se, plain_se = (f"{100 * row['mean']:.1f}" for row in inputs)
    assert f"{plain_basic} instead of {basic} % (basic) and {plain_se} instead of {se} % (SE)" in text
    assert all(row["plain - normalized"] < 0 for row in words)


def test_what_the_checkpoints_show():
    text = read("docs/experiments/README.md")
    music, words = (
        load(f"docs/experiments/samplecnn-{name}/figure_10.json")["tables"]["figure_10"][0]
        for name in ("music-tags-synthetic", "arabic-speech-commands")
    )
    assert f"channel magnitude rises (r = {music['r of magnitude and RMS']:.2f})" in text
    assert f"excitation falls (r = {music['r of excitation and RMS']:.2f}) with loudness" in text
    assert f"do not depend on loudness (r = {words['r of excitation and RMS']:.2f})" in text
    music, words = (
        {
            row["layer"]: row["log-likeness"]
            for row in load(f"docs/experiments/{name}/figure_7.json")["tables"]["figure_7"]
        }
        for name in ("samplecnn-music-tags-synthetic", "samplecnn-arabic-speech-commands")
    )
    assert max(music, key=music.get) == 2 and max(words, key=words.get) == 3
    assert f"in the second (music, log-likeness {music[2]:.2f}) and third layer (words, {words[3]:.2f})" in " ".join(
        text.split()
    )


def test_filters_on_recorded_speech():
    speech = [
        row["log-likeness"]
        for row in load("docs/experiments/arabic_speech_commands/figure_7.json")["tables"]["figure_7"]
    ]
    text = read("docs/experiments/README.md")
    assert f"rises from {speech[0]:.2f} in the first of six layers to {speech[4]:.2f} in the fifth" in text
    assert len(speech) == 6 and max(speech) == speech[4]


def test_first_example_of_the_readme():
    examples = load("model_cards/samplecnn-arabic-speech-commands/results.json")["examples"]
    (best,) = (each["predictions"][0] for each in examples if each["file"] == "examples/left.wav")
    answer = f'[{{"score": {best["score"]:.2f}..., "label": "{best["label"]}"}}]'
    assert f'examples/left.wav", top_k=1) # {answer}' in read("README.md")


def test_checkpoints():
    table, text = rows("docs/results.md"), read("docs/results.md")
    for path in ROOT.glob("model_cards/*/results.json"):
        run = json.loads(path.read_text())
        people = run.get("detection", {}).get("splits", {}).get("recordings")
        if people:
            metric, score = "accuracy", people["keyword_accuracy"]
            accuracy, clips = run["metrics"]["recordings"]["accuracy"], run["clips"]["recordings"]
            assert f"it is {100 * accuracy:.1f} % of {clips} clips" in text
            assert f"it misses {100 * people['miss_rate']:.1f} % of the" in text
        elif run["metrics"]:
            metric, scores = run["metric"], list(run["metrics"].values())[-1]  # of the test split, if there is one
            score = scores[metric]
        else:
            metric, score = run["metric"], run["compared"][0]["mean"]
        shown = f"ROC-AUC {score:.4f}" if metric == "roc_auc" else f"{metric} {100 * score:.1f} %"
        assert table[f"`{path.parent.name}`"][-1] == shown


def test_spotters_of_two_forms_of_the_data():
    text = read("docs/spoken_words.md")
    card = load("model_cards/samplecnn-speech-commands-synthetic/results.json")
    new, old = (
        (people["keyword_accuracy"], run["metrics"]["recordings"]["accuracy"], people["miss_rate"])
        for run in (results("spoken_words_4000_words"), card)
        for people in (run["detection"]["splits"]["recordings"],)
    )
    words = (
        "among the 35 words (the checkpoint: {:.1f} %)",
        "with `_unknown_` and `_silence_` ({:.1f} %)",
        "of them ({:.1f} %)",
    )
    for score, other, phrase in zip(new, old, words, strict=True):
        assert f"{100 * score:.1f} %" in text and phrase.format(100 * other) in text
    assert f"its tuned threshold is {results('spoken_words_4000_words')['detection']['threshold']:.3f}" in text


def test_urban_sounds():
    table = rows("docs/results.md", "Urban sounds")
    for run in load("model_cards/samplecnn-urban-sounds/results.json")["compared"]:
        folds = ", ".join(f"{100 * score:.1f}" for score in run["scores"].values())
        assert table[run["name"]] == [f"{100 * run['mean']:.1f} %", folds]


def test_spoken_words():
    table = rows("docs/spoken_words.md")
    for run in load("benchmarks/results/spoken_words.json"):
        scores = {run["name"]: run}
        if "statistics_of_recordings" in run:
            scores[f"{run['name']}; their batch norm statistics"] = run["statistics_of_recordings"]
        for name, row in scores.items():
            assert table[name] == [f"{100 * row[key]:.1f} %" for key in ("accuracy", "mean_accuracy", "ten_words")]
    scores = {run["name"]: 100 * run["accuracy"] for run in load("benchmarks/results/spoken_words.json")}
    voices, augmented, vocoded, formants, _, pretrained, _ = scores.values()
    text = read("docs/spoken_words.md")
    assert f"here of another language: {pretrained - formants:.0f} points" in text
    assert f"add {formants - vocoded:.0f} points, and the other augmentation {augmented - voices:.0f}." in text
