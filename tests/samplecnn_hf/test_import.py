"""What `import samplecnn_hf` loads and registers, in new processes."""

import subprocess
import sys

import pytest

import samplecnn_hf

HEAVY = ("torch", "transformers", "scipy", "pandas", "matplotlib", "onnx", "onnxruntime")


def run(*lines: str, folder="") -> str:
    command = [sys.executable, "-c", "\n".join(lines), str(folder)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr[-3000:]
    return process.stdout


@pytest.mark.parametrize("module", ["samplecnn_hf", "samplecnn_hf.audio_samplecnn"])
def test_importing_loads_neither_torch_nor_transformers(module):
    imported = run(f"import sys, {module}", "print(*sys.modules)").split()
    assert not {name.partition(".")[0] for name in imported} & set(HEAVY)


def test_names():
    assert set(samplecnn_hf.__all__) <= set(dir(samplecnn_hf))
    assert set(samplecnn_hf.__all__) == set(samplecnn_hf._MODULES)
    printed = run(
        "import samplecnn_hf",
        "for name in samplecnn_hf.__all__: assert getattr(samplecnn_hf, name).__name__ == name",
        "from samplecnn_hf import *",
        "print(SampleCNNModel.__module__, list_variants()[0])",
    )
    assert printed.split() == ["samplecnn_hf.modeling_samplecnn", "basic-8"]
    with pytest.raises(AttributeError, match="no attribute 'SampleRNN'"):
        samplecnn_hf.SampleRNN  # noqa: B018
    with pytest.raises(ImportError, match="SampleRNN"):
        from samplecnn_hf import SampleRNN  # noqa: F401


IMPORT = "import samplecnn_hf"
ORDERS = {
    "package first": [IMPORT, "import transformers"],
    "transformers first, not used": ["import transformers", IMPORT],
    "an Auto class first": ["import transformers; transformers.AutoConfig", IMPORT],
    "all Auto classes first": ["from transformers import AutoModel, AutoFeatureExtractor, AutoConfig", IMPORT],
    "pipelines first": ["from transformers import pipeline", IMPORT],
    "package, then pipelines": [IMPORT, "from transformers import pipeline"],
    "a class of the package first": ["from samplecnn_hf import SampleCNNForAudioClassification"],
    "a module of the package first": ["import samplecnn_hf.pipeline_samplecnn"],
    "reloaded": [IMPORT, "import importlib; importlib.reload(samplecnn_hf)"],
}


@pytest.mark.slow
@pytest.mark.parametrize("order", ORDERS)
def test_auto_classes_without_trust_remote_code(pretrained, order):
    printed = run(
        *ORDERS[order],
        "import sys",
        "from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForAudioClassification",
        "for auto in (AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForAudioClassification):",
        "    print(type(auto.from_pretrained(sys.argv[1])).__module__)",
        folder=pretrained,
    )
    files = ("configuration", "feature_extraction", "modeling", "modeling")
    assert printed.split() == [f"samplecnn_hf.{name}_samplecnn" for name in files]


@pytest.mark.parametrize("auto_class", ["AutoConfig", "AutoFeatureExtractor", "AutoModelForAudioClassification"])
def test_one_auto_class_alone(pretrained, auto_class):
    printed = run(
        "import sys, samplecnn_hf",
        f"from transformers import {auto_class}",
        f"print(type({auto_class}.from_pretrained(sys.argv[1])).__module__)",
        folder=pretrained,
    )
    assert printed.startswith("samplecnn_hf.")


def test_code_is_saved_by_classes_imported_from_their_modules(tmp_path):
    run(
        "import sys",
        "from samplecnn_hf.modeling_samplecnn import SampleCNNModel",
        "from samplecnn_hf.variants import create_config",
        "SampleCNNModel(create_config('test-se')).save_pretrained(sys.argv[1])",
        folder=tmp_path,
    )
    assert {"modeling_samplecnn.py", "audio_samplecnn.py"} <= {path.name for path in tmp_path.iterdir()}
