"""The folder that `static_demo.build` writes."""

import json

import pytest
from huggingface_hub import SpaceCard

from static_demo import build as module
from static_demo.build import build, main

LOCK = module.PAGE.with_name("package-lock.json")


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    """Replaces node_modules."""
    folder = tmp_path / "dist"
    folder.mkdir()
    for name in module.RUNTIME_FILES:
        (folder / name).write_text(name)
    monkeypatch.setattr(module, "RUNTIME", folder)
    return folder


@pytest.fixture
def exported(monkeypatch):
    """Replaces the export, which is tested in samplecnn_hf/test_export.py."""
    monkeypatch.setattr(module, "export_model", lambda folder, output: output.write_bytes(b"onnx"))


@pytest.fixture
def model_folder(tmp_path, tiny_model, tiny_extractor):
    folder = tmp_path / "birds & bees"
    tiny_model.save_pretrained(folder)
    tiny_extractor.save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n\n# birds & bees\n")
    return folder


def test_folder_is_complete(tmp_path, runtime, exported, model_folder):
    output = build(model_folder, tmp_path / "runs" / "page", model_id="someone/birds")
    files = {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()}
    assert files == {
        *(path.name for path in module.PAGE.iterdir()),
        *(f"onnxruntime/{name}" for name in module.RUNTIME_FILES),
        "config.json",
        "model.onnx",
        "preprocessor_config.json",
    }
    assert [path.name for path in output.parent.iterdir()] == ["page"]
    assert (output / "config.json").read_bytes() == (model_folder / "config.json").read_bytes()
    assert "<h1>birds &amp; bees</h1>" in (output / "index.html").read_text()
    assert not any("{{" in (output / name).read_text() for name in ("index.html", "README.md"))


@pytest.mark.parametrize("model_id", [None, "someone/birds"])
def test_card_of_the_space(tmp_path, runtime, exported, model_folder, model_id):
    card = SpaceCard.load(build(model_folder, tmp_path / "page", model_id) / "README.md")
    assert card.data.sdk == "static"
    assert (module.PAGE / card.data.app_file).is_file()
    assert card.data.title == "birds & bees"
    assert card.data.license == "cc-by-4.0"  # the model's
    assert card.data.models == ([model_id] if model_id else None)
    assert card.text.strip().startswith("# birds & bees")


def test_no_license_without_a_model_card(tmp_path, runtime, exported, model_folder):
    (model_folder / "README.md").unlink()
    assert SpaceCard.load(build(model_folder, tmp_path / "page") / "README.md").data.license is None


def test_onnxruntime_is_not_installed(tmp_path, runtime, model_folder):
    (runtime / module.RUNTIME_FILES[0]).unlink()
    with pytest.raises(FileNotFoundError, match="npm ci --prefix static_demo"):
        build(model_folder, tmp_path / "page")


@pytest.mark.parametrize("name", ["", "config.json", "preprocessor_config.json"])
def test_no_model(tmp_path, runtime, model_folder, name):
    (model_folder / name).rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match="no model in .*birds & bees"):
        build(model_folder, tmp_path / "page")
    assert not (tmp_path / "page").exists()


def test_an_existing_folder_is_kept(tmp_path, runtime, exported, model_folder):
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "diary.txt").write_text("dear diary")
    with pytest.raises(FileExistsError, match="remove it or choose another folder"):
        build(model_folder, tmp_path / "page")
    assert (tmp_path / "page" / "diary.txt").read_text() == "dear diary"


def test_a_failed_export_leaves_no_files(tmp_path, runtime, monkeypatch, model_folder):
    def fail(folder, output):
        raise RuntimeError("the exported network's\nprobabilities differ")

    monkeypatch.setattr(module, "export_model", fail)
    before = set(tmp_path.iterdir())
    with pytest.raises(SystemExit) as stopped:
        main([str(model_folder), str(tmp_path / "page")])
    assert stopped.value.code == "error: the exported network's probabilities differ"
    assert set(tmp_path.iterdir()) == before


def test_command_prints_the_folder(tmp_path, runtime, exported, model_folder, capsys):
    main([str(model_folder), str(tmp_path / "page")])
    assert json.loads(capsys.readouterr().out)["output"] == str(tmp_path / "page")
    assert (tmp_path / "page" / "index.html").is_file()


def test_npm_packages_are_pinned_and_come_from_the_public_registry():
    packages = json.loads(LOCK.read_text())["packages"]
    wanted = json.loads(LOCK.with_name("package.json").read_text())["dependencies"]
    assert packages[""]["dependencies"] == wanted
    for name, version in wanted.items():
        assert packages[f"node_modules/{name}"]["version"] == version
    for name, package in packages.items():
        assert name == "" or package["integrity"].startswith("sha512-")
        assert package.get("resolved", "https://registry.npmjs.org/").startswith("https://registry.npmjs.org/")
