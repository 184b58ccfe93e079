import io
import json
import subprocess
import sys

import fsspec
import numpy as np
import pytest
import soundfile
import torch

from samplecnn_hf import SampleCNNAudioClassificationPipeline, SampleCNNFeatureExtractor, SampleCNNModel, cli
from samplecnn_hf.cli import inference, jobs

HOP = 0.03  # seconds; a segment has 0.066


@pytest.fixture
def folder(write_tone, tmp_path):
    """Three clips, and one that is none."""
    (tmp_path / "sounds").mkdir()
    for i, name in enumerate(("a.wav", "b.flac", "d.mp3")):
        write_tone(f"sounds/{name}", frequency=300 * (i + 1), seconds=0.1 * (i + 1))
    (tmp_path / "sounds" / "c.wav").write_bytes(b"no audio")
    return tmp_path / "sounds"


@pytest.fixture
def pipe(pretrained):
    return SampleCNNAudioClassificationPipeline.from_pretrained(pretrained)


@pytest.fixture
def run(pretrained, capsys):
    """run(command, *words): the rows that are printed, the standard error and the exit status."""

    def run(command, *words):
        status = 0
        try:
            cli.main([command, *map(str, words), "--model", str(pretrained)])
        except SystemExit as end:
            status = end.code
        out, err = capsys.readouterr()
        return [json.loads(line) for line in out.splitlines()], err, status

    return run


def scores(rows):
    return {(row["file"], round(row.get("start", 0), 4), row["label"]): row["score"] for row in rows}


def expected_scores(file, result):
    chunks = result if isinstance(result, list) else result.get("events", result.get("chunks"))
    return {
        (str(file), round(chunk.get("timestamp", (0,))[0], 4), item["label"]): item["score"]
        for chunk in chunks
        for item in chunk.get("scores", [chunk])
    }


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ([], {}),
        (["--top_k=2"], {"top_k": 2}),
        (["--threshold=0.14", "--top_k=7"], {"threshold": 0.14, "top_k": 7}),
        (["--timestamps"], {"return_timestamps": True}),
        (["--timestamps", f"--hop_length_s={HOP}"], {"return_timestamps": True, "hop_length_s": HOP}),
        (["--events", "--threshold=0.15"], {"events": True, "threshold": 0.15}),
    ],
)
def test_answers_are_those_of_the_pipeline(folder, pipe, run, words, options):
    rows, err, status = run("classify", folder / "a.wav", folder / "d.mp3", *words)
    expected = {}
    for file in (folder / "a.wav", folder / "d.mp3"):
        expected |= expected_scores(file, pipe(str(file), **{"top_k": 5} | options))
    assert scores(rows) == pytest.approx(expected, abs=1e-5) and expected
    assert (err, status) == ("", 0)


def test_unreadable_files_are_reported_and_the_others_classified(folder, run):
    rows, err, status = run("classify", folder, folder / "nowhere.wav")
    assert {row["file"] for row in rows} == {str(folder / name) for name in ("a.wav", "b.flac", "d.mp3")}
    first, second, total = err.splitlines()
    assert first.startswith("error: ") and "c.wav' cannot be read as audio" in first
    assert second.startswith("error: ") and "nowhere.wav" in second
    assert total == "2 of 5 files could not be read" and status == 1


@pytest.mark.parametrize("command", ["classify", "embed"])
def test_remote_files(folder, run, command):
    storage, file = fsspec.filesystem("memory"), "memory:///sounds/a.wav"
    storage.pipe("/sounds/a.wav", (folder / "a.wav").read_bytes())
    try:
        rows, err, status = run(command, "memory:///sounds/nowhere.wav", file)
    finally:
        storage.rm("/sounds", recursive=True)
    expected, _, _ = run(command, folder / "a.wav")
    assert rows == [row | {"file": file} for row in expected] and status == 1
    assert "nowhere.wav" in err.splitlines()[0]
    assert "Protocol not known: nothing" in run(command, "nothing://a.wav")[2]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("command", ["classify", "embed"])
def test_no_gpu(folder, run, command):
    _, _, status = run(command, folder / "a.wav", "--device=cuda")
    assert status.startswith("error: --device cuda: there is no CUDA device")


def test_an_error_names_the_file(write_tone, run):
    rows, err, status = run("classify", write_tone("empty.wav", seconds=0))
    assert rows == [] and status == 1
    assert err.splitlines()[0].startswith("error: ") and "empty.wav' is empty: it has no samples" in err


@pytest.mark.parametrize("command", ["classify", "embed"])
def test_standard_input(folder, run, monkeypatch, command):
    content = (folder / "a.wav").read_bytes()
    # as ffmpeg and sox write it to a pipe: they do not know the length
    content = content[:4] + b"\xff" * 4 + content[8:40] + b"\xff" * 4 + content[44:]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    rows, err, status = run(command, "-")
    assert (err, status) == ("", 0)
    expected, _, _ = run(command, folder / "a.wav")
    assert rows == [row | {"file": "-"} for row in expected]


def test_a_table_on_a_terminal(folder, pretrained, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    cli.main(["classify", str(folder / "a.wav"), "-m", str(pretrained), "--top_k=1"])
    cli.main(["classify", str(folder / "a.wav"), "-m", str(pretrained), "--top_k=1", "--timestamps"])
    clip, score, window, first, second = capsys.readouterr().out.splitlines()
    assert clip == window == str(folder / "a.wav")
    value, label = score.split()
    assert 0 < float(value) < 1 and label.isalpha()
    assert first.split()[:3] == ["0.00", "0.07", "s"] and second.split()[:3] == ["0.07", "0.10", "s"]


def test_nothing_is_printed_without_labels(folder, pretrained, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    cli.main(["classify", str(folder / "a.wav"), "-m", str(pretrained), "--threshold=1"])
    assert capsys.readouterr().out == ""


def test_embeddings_are_computed_by_the_gpu_if_there_is_one(folder, run, monkeypatch):
    devices = []
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(SampleCNNModel, "to", lambda model, device: devices.append(str(device)) or model)
    run("embed", folder / "a.wav")
    run("embed", folder / "a.wav", "--device=cpu")
    assert devices == ["cuda", "cpu"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--engine=torch"], "--engine torch needs the folder of a model"),
        (["--engine=ray", "-o", "out"], "--engine ray needs the folder of a model"),
        (["http://127.0.0.1/clip.wav"], "an exported model cannot read URLs"),
    ],
)
def test_what_an_exported_file_cannot_do(folder, tmp_path, capsys, words, message):
    (tmp_path / "model.onnx").touch()
    with pytest.raises(SystemExit, match="2"):
        cli.main(["classify", str(folder), *words, "-m", str(tmp_path / "model.onnx")])
    assert message in " ".join(capsys.readouterr().err.split())


def test_embeddings_of_clips_and_windows(folder, pretrained, run):
    file = folder / "d.mp3"
    extractor = SampleCNNFeatureExtractor.from_pretrained(pretrained)
    outputs = SampleCNNModel.from_pretrained(pretrained)(**extractor(str(file), return_tensors="pt"))
    ((row,), _, _) = run("embed", file)
    assert row["embedding"] == pytest.approx(outputs.pooler_output[0].tolist(), abs=1e-5)
    rows, _, _ = run("embed", file, "--timestamps")
    embeddings = np.array([row["embedding"] for row in rows])
    assert embeddings == pytest.approx(outputs.segment_embeddings[0].detach().numpy(), abs=1e-5)
    assert [row["start"] for row in rows] == pytest.approx(np.arange(len(rows)) * 1458 / 22050)
    rows, _, _ = run("embed", file, "--timestamps", f"--hop_length_s={HOP}")
    assert [row["start"] for row in rows][:2] == pytest.approx([0, HOP], rel=0.02)


@pytest.mark.parametrize("command", ["classify", "embed"])
def test_interrupted_commands_continue(folder, run, pretrained, tmp_path, monkeypatch, command):
    monkeypatch.setattr(jobs, "PART_SECONDS", 0)
    output, words = tmp_path / "out.jsonl", [folder, "-o", tmp_path / "out.jsonl"]
    watch = inference._watch

    def interrupt(answers, num_files):
        for i, rows in enumerate(watch(answers, num_files)):
            if i == 3:
                raise KeyboardInterrupt
            yield rows

    monkeypatch.setattr(inference, "_watch", interrupt)
    _, err, status = run(command, *words)
    assert status == "interrupted: run the same command again" and "c.wav" in err and not output.exists()
    monkeypatch.setattr(inference, "_watch", watch)
    assert run(command, *words, "--timestamps")[2].startswith("error: ")  # other options
    config = (pretrained / "config.json").read_text()
    (pretrained / "config.json").write_text(config + "\n")
    assert "holds an unfinished job with other weights" in run(command, *words)[2]  # another model of this name
    (pretrained / "config.json").write_text(config)
    rows, err, status = run(command, *words)
    assert rows == [] and status == 1
    assert "continuing after 3 of 4 files" in err and "1 of 4 files could not be read" in err
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert list(dict.fromkeys(row["file"] for row in rows)) == sorted(map(str, folder.iterdir()))
    assert [row["file"] for row in rows if "error" in row] == [str(folder / "c.wav")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--timestamps", "--events"], "give --timestamps or --events, not both"),
        (["--hop_length_s=1"], "--hop_length_s needs --timestamps or --events"),
        (["--threshold=high"], "--threshold is a number from 0 to 1, or tuned; got high"),
        (["--threshold=7"], "--threshold is a number from 0 to 1, or tuned; got 7"),
        (["--threshold=nan"], "--threshold is a number from 0 to 1, or tuned; got nan"),
        (["--engine=runtime", "--events"], "an exported model does not support --timestamps, --events or --device"),
        (["--top_k=0"], "Invalid value for '--top_k'"),
    ],
)
def test_wrong_options(folder, run, words, message):
    _, err, status = run("classify", folder, *words)
    assert status == 2 and message in " ".join(err.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--threshold=tuned"], "this model has no tuned thresholds"),
        (["--timestamps", "--hop_length_s=9"], "hop_length_s must be from one sample to one segment"),
        (["--device=nothing"], "nothing"),
        (["--output=out.xls"], "unknown suffix"),
    ],
)
def test_other_faults_are_one_line(folder, run, words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    _, err, status = run("classify", folder / "a.wav", *words)
    assert status.startswith("error: ") and message in status and "\n" not in status
    assert sorted(tmp_path.rglob("*")) == before


def test_no_such_model(folder, tmp_path):
    with pytest.raises(SystemExit, match="^error: there is no model in [^\n]*$"):
        cli.main(["classify", str(folder), "-m", str(tmp_path / "nowhere"), "-o", str(tmp_path / "out.csv")])
    assert not list(tmp_path.glob("out*"))


def test_files_of_the_output_are_readable_audio(folder, run, tmp_path):
    """Parquet has the types that pandas and Spark expect."""
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    run("classify", folder, "-o", tmp_path / "out.parquet")
    table = pandas.read_parquet(tmp_path / "out.parquet")
    assert list(table.columns) == ["file", "label", "score", "error"]
    assert table.score.dtype == np.float32 and table.score.max() <= 1
    assert soundfile.info(table.file[0]).samplerate == 22050


@pytest.fixture
def exported(pretrained):
    """The folder of a model with onnx/model.onnx."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    from samplecnn_hf.export import export_model

    export_model(pretrained)
    return pretrained


@pytest.mark.slow
def test_an_exported_model_is_run_without_torch(folder, exported, run):
    words = [str(folder / "a.wav"), str(folder / "c.wav"), str(folder / "d.mp3"), "--top_k=7"]
    code = """
import sys
from samplecnn_hf import cli
try:
    cli.main(sys.argv[1:])
finally:
    print(sorted({"torch", "transformers"} & sys.modules.keys()), file=sys.stderr)
"""
    torch_rows, _, _ = run("classify", *words, "--engine=torch")
    for model in (exported, exported / "onnx" / "model.onnx"):
        command = [sys.executable, "-c", code, "classify", *words, "-m", str(model)]
        process = subprocess.run(command, capture_output=True, text=True)
        error, total, modules = process.stderr.splitlines()
        assert process.returncode == 1 and "c.wav' cannot be read as audio" in error and modules == "[]"
        rows = [json.loads(line) for line in process.stdout.splitlines()]
        # the pipeline may compute in bfloat16
        assert scores(rows) == pytest.approx(scores(torch_rows), abs=0.01) and len(rows) == 14


@pytest.mark.slow
def test_options_of_an_exported_model(folder, exported, run, capsys):
    file = str(folder / "a.wav")
    assert run("classify", file, "--threshold=tuned", "--engine=runtime")[2].startswith(
        "error: this model has no tuned thresholds"
    )
    rows, _, _ = run("classify", file, "--threshold=0.15", "--engine=runtime", "--top_k=7")
    assert 0 < len(rows) < 7 and all(row["score"] >= 0.15 for row in rows)
    assert len(run("classify", file, "--timestamps", "--top_k=1")[0]) == 2  # by PyTorch
    with pytest.raises(SystemExit, match="2"):
        cli.main(["classify", file, "--events", "-m", str(exported / "onnx" / "model.onnx")])
    assert "an exported model does not support" in capsys.readouterr().err
    cli.main(["benchmark", str(exported), "--seconds=0"])
    assert capsys.readouterr().out.splitlines()[-1].startswith("onnxruntime, cpu ")
