import json

import pytest

from samplecnn_hf import (
    SampleCNNFeatureExtractor,
    SampleCNNForAudioClassification,
    cli,
    create_config,
    list_variants,
)


def test_variants(capsys):
    cli.main(["variants"])
    assert capsys.readouterr().out.split() == list_variants()


def test_info(pretrained, tiny_model, capsys):
    cli.main(["info", str(pretrained)])
    rows = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    rows = {name: value.strip() for name, value in rows.items()}
    parameters = sum(parameter.numel() for parameter in tiny_model.parameters())
    assert rows == {
        "network": "5 se blocks, waveform front end",
        "parameters": f"{parameters:,} (F32)",
        "input": "22,050 Hz mono, segments of 1,458 samples (0.07 s)",
        "task": "single label classification",
        "labels": "7: bird, cat, cow, dog, frog, hen, owl",
        "thresholds": "none",
        "files": str(pretrained),
        "exported": "none",
    }


def test_info_about_a_model_with_default_labels(tmp_path, capsys):
    SampleCNNForAudioClassification(create_config("test-se")).save_pretrained(tmp_path)
    SampleCNNFeatureExtractor(segment_length=1458).save_pretrained(tmp_path)
    cli.main(["info", str(tmp_path)])
    assert "2: LABEL_0, LABEL_1" in capsys.readouterr().out


def test_info_shows_thresholds_and_exported_files(pretrained, capsys):
    config = json.loads((pretrained / "config.json").read_text())
    (pretrained / "config.json").write_text(json.dumps(config | {"thresholds": [0.5] * 7}))
    for name in ("onnx/model.onnx", "onnx/model.int8.onnx", "openvino/model.xml", "openvino/model.bin"):
        (pretrained / name).parent.mkdir(exist_ok=True)
        (pretrained / name).touch()
    cli.main(["info", str(pretrained)])
    out = capsys.readouterr().out
    assert (
        "tuned (--threshold tuned)" in out
        and "exported    onnx/model.int8.onnx, onnx/model.onnx, openvino/model.xml\n" in out
    )


def test_info_about_an_incomplete_config(pretrained):
    (pretrained / "config.json").write_text('{"model_type": "samplecnn", "num_blocks": 5}')
    with pytest.raises(
        SystemExit, match="^error: .* has no block_type, front_end, problem_type in its JSON files: save"
    ):
        cli.main(["info", str(pretrained)])


def test_info_about_a_missing_folder():
    with pytest.raises(SystemExit, match="^error: there is no model in nowhere: give the folder of a trained model"):
        cli.main(["info", "nowhere"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "has no config.json: give the folder of a trained model"),
        ("{", "config.json of .* is damaged"),
        ('{"model_type": "bert"}', "is not a SampleCNN: its config.json has model_type 'bert'"),
    ],
)
def test_info_about_other_folders(pretrained, content, message):
    (pretrained / "config.json").unlink()
    if content is not None:
        (pretrained / "config.json").write_text(content)
    with pytest.raises(SystemExit, match=f"^error: .*{message}[^\n]*$"):
        cli.main(["info", str(pretrained)])
