"""The wheel works without the checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hatchling.build import build_wheel

ROOT = Path(__file__).parents[1]

USER = """
import sys
sys.path.insert(0, sys.argv[1])
import samplecnn_hf
assert samplecnn_hf.__file__.startswith(sys.argv[1]), samplecnn_hf.__file__
pipe = samplecnn_hf.SampleCNNAudioClassificationPipeline.from_pretrained(sys.argv[2])
for file in sys.argv[3:]:
    print(pipe(file, top_k=1)[0]["label"])
"""


@pytest.mark.slow
def test_wheel(tmp_path, monkeypatch, pretrained, tiny_model, write_tone):
    monkeypatch.chdir(ROOT)
    with zipfile.ZipFile(tmp_path / build_wheel(str(tmp_path))) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "site")
    assert "samplecnn_hf/py.typed" in names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"samplecnn_hf"}

    files = [str(write_tone(f"tone.{suffix}")) for suffix in ("wav", "mp3")]
    command = [sys.executable, "-I", "-c", USER, str(tmp_path / "site"), str(pretrained), *files]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert set(result.stdout.split()) <= set(tiny_model.config.id2label.values()) and len(result.stdout.split()) == 2
