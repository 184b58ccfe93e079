"""A suffix says what is in a file; pickles, archives and damaged files pass under none of them."""

import io
import json
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest
import soundfile
import torch
from safetensors.numpy import save

from samplecnn_hf.file_formats import FORMATS, check_format

onnx = pytest.importorskip("onnx", reason="needs the extra `onnx`")


def sound(format: str) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, np.zeros(2205), 22050, format=format)
    return content.getvalue()


def onnx_model(external: str | None = None) -> bytes:
    weight = onnx.numpy_helper.from_array(np.ones(2, np.float32), "weight")
    if external:
        weight.ClearField("raw_data")
        weight.data_location = onnx.TensorProto.EXTERNAL
        weight.external_data.add(key="location", value=external)
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2]) for name in "xy")
    node = onnx.helper.make_node("Add", ["x", "weight"], ["y"])
    constant = onnx.helper.make_node("Constant", [], ["unused"], value=weight)
    return onnx.helper.make_model(
        onnx.helper.make_graph([constant, node], "g", [x], [y], [weight])
    ).SerializeToString()


PNG = b"\x89PNG\r\n\x1a\n" + bytes(50)
INTACT = {
    "a.safetensors": save({"x": np.zeros(3, np.float32)}),
    "a.json": b'{"label": "caf\xc3\xa9"}',
    "a.py": b"x = 1\n",
    "a.md": b"---\nlicense: mit\n---\n\n# Caf\xc3\xa9\n",
    "a.txt": "N Smith, e.g., said: 日本語.\n".encode(),
    "empty.txt": b"",
    "LICENSE": b"Copyright\n\f\n",
    "a.yaml": b"a: [1, 2]\n---\nb: 3\n",
    "a.csv": b"class,file\r\ndog,a.wav\r\n",
    "a.svg": b"<svg/>",
    "a.onnx": onnx_model(),
    "a.png": PNG,
    "A.WAV": sound("WAV"),
    "a.flac": sound("FLAC"),
    "a.ogg": sound("OGG"),
}


@pytest.mark.parametrize("name", INTACT)
def test_what_it_says(tmp_path, name):
    (tmp_path / name).write_bytes(INTACT[name])
    check_format(tmp_path / name)


class Exploit:
    def __reduce__(self):
        return print, ("code ran",)


def saved_by_torch() -> bytes:
    content = io.BytesIO()
    torch.save({"weight": torch.zeros(2)}, content)
    return content.getvalue()


def zipped(before: bytes = b"") -> bytes:
    content = io.BytesIO(before)
    content.seek(len(before))
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr("data.pkl", pickle.dumps(Exploit()))
    return content.getvalue()


OTHER_FORMATS = {
    **{f"pickle protocol {i}": pickle.dumps(Exploit(), protocol=i) for i in range(6)},
    **{f"pickled data, protocol {i}": pickle.dumps({"a": [1.5, "b"]}, protocol=i) for i in range(6)},
    "pickle and more": pickle.dumps(Exploit(), protocol=0) + b"\nThis is only text.\n",
    "torch.save": saved_by_torch(),
    "zip": zipped(),
    "gzip": b"\x1f\x8b\x08\x00" + bytes(20),
    "program": b"\x7fELF\x02\x01\x01" + bytes(50),
    "NUL": b"text\0text",
    "latin-1": b"caf\xe9",
    "UTF-16": "text".encode("utf-16"),
}


@pytest.mark.parametrize("content", OTHER_FORMATS)
def test_what_is_under_no_suffix(tmp_path, capfd, content):
    for suffix in FORMATS:
        path = tmp_path / f"file{suffix}"
        path.write_bytes(OTHER_FORMATS[content])
        with pytest.raises(ValueError, match="is damaged, or not|contains a zip archive") as error:
            check_format(path)
        assert len(str(error.value).splitlines()) == 1
    assert capfd.readouterr().out == ""  # and no code ran


@pytest.mark.parametrize("name", [name for name in INTACT if INTACT[name]])
def test_archive_behind_a_file(tmp_path, name):
    (tmp_path / name).write_bytes(zipped(INTACT[name]))
    with pytest.raises(ValueError, match="contains a zip archive"):
        check_format(tmp_path / name)


DAMAGED = {
    "a.safetensors": [b"", INTACT["a.safetensors"][:-1], INTACT["a.safetensors"] + b"x", b"\xff" * 100],
    "a.json": [b"", b"{", b"[" * 200_000, b'{"a":' * 20_000, b"9" * 5000, b"{'a': 1}"],
    "a.yaml": [b"a: [", b"a: !!python/object/apply:os.system ['true']", b"[" * 20_000],
    "a.onnx": [b"", INTACT["a.onnx"][:-20], onnx_model("weights.bin"), onnx_model("../../etc/passwd"), b"text"],
    "a.png": [b"", b"\x89PNG", b"<svg/>"],
    "a.wav": [b"", b"RIFF....AVI LIST", INTACT["a.flac"]],
    "a.flac": [INTACT["a.ogg"]],
    "a.bin": [b"text", b""],
    "file": [b"text"],
}


@pytest.mark.parametrize("name, i", [(name, i) for name in DAMAGED for i in range(len(DAMAGED[name]))])
def test_damaged(tmp_path, name, i):
    (tmp_path / name).write_bytes(DAMAGED[name][i])
    with pytest.raises(ValueError, match="is damaged, or not|has a format that a model does not need") as error:
        check_format(tmp_path / name)
    assert len(str(error.value).splitlines()) == 1 and len(str(error.value)) < 1000


def test_onnx_weights_elsewhere_are_named(tmp_path):
    (tmp_path / "weights.bin").write_bytes(np.ones(2, np.float32).tobytes())  # there, and of the right size
    (tmp_path / "a.onnx").write_bytes(onnx_model("weights.bin"))
    with pytest.raises(ValueError, match="its weights are in another file"):
        check_format(tmp_path / "a.onnx")


def test_endless_text(tmp_path):
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(2**40)  # takes no place on the disk
    with pytest.raises(ValueError, match="text of more than"):
        check_format(tmp_path / "a.json")


def test_large_results_are_sound(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps({"history": [{"loss": 0.5}] * 20_000}))
    check_format(tmp_path / "results.json")


def test_memory_for_text_that_nests_as_a_pickle(tmp_path):
    """With indentation, these 16 kB took 512 MB."""
    path = tmp_path / "notes.txt"
    path.write_bytes(b"(" * 16_000)
    tracemalloc.start()
    check_format(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 2**20
