"""Files from outside are damaged, or hostile: each gets one line, and none runs code."""

import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from samplecnn_hf.convert import convert_checkpoint, files
from samplecnn_hf.convert.files import MAX_VALUES, ConvertError, read_weights

h5py = pytest.importorskip("h5py", reason="needs h5py: pip install 'samplecnn-hf[convert]'")

STATE = {"conv1.0.weight": torch.ones(8, 1, 3), "conv1.0.bias": torch.zeros(8)}


def refuse(path, message):
    with pytest.raises(ConvertError, match=message) as raised:
        convert_checkpoint(path, path.with_name("converted"), ["a"], "single_label_classification")
    assert "\n" not in str(raised.value)
    assert not path.with_name("converted").exists()


@pytest.fixture
def hdf5(tmp_path):
    """An open HDF5 file with the group of the layer conv0."""
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file.create_group("model_weights/conv0")
        yield file


def refuse_hdf5(file, message):
    path = Path(file.filename)
    file.close()
    refuse(path, message)


# HDF5


@pytest.mark.parametrize("place", ["model_weights", "model_weights/conv0"])
@pytest.mark.parametrize("external", [False, True], ids=["soft", "external"])
def test_links(hdf5, tmp_path, place, external):
    with h5py.File(tmp_path / "secret.h5", "w") as secret:
        secret["kernel:0"] = np.ones((3, 1, 8), np.float32)
    hdf5["kernel:0"] = np.ones((3, 1, 8), np.float32)
    name = f"{place}/kernel:0"
    hdf5[name] = h5py.ExternalLink(tmp_path / "secret.h5", "/kernel:0") if external else h5py.SoftLink("/kernel:0")
    refuse_hdf5(hdf5, f"/{name} in the HDF5 file is a link")


def test_link_in_place_of_all_weights(hdf5, tmp_path):
    del hdf5["model_weights"]
    hdf5["model_weights"] = h5py.ExternalLink(tmp_path / "secret.h5", "/model_weights")
    refuse_hdf5(hdf5, "/model_weights in the HDF5 file is a link")


def test_circle(hdf5):
    hdf5["model_weights/conv0/conv0"] = hdf5["model_weights/conv0"]
    refuse_hdf5(hdf5, "in the HDF5 file has two names")


def test_data_in_another_file(hdf5, tmp_path):
    (tmp_path / "secret").write_bytes(b"secret" * 100)
    hdf5.create_dataset("model_weights/conv0/kernel:0", (8,), "f4", external=[(tmp_path / "secret", 0, 32)])
    refuse_hdf5(hdf5, "kernel:0 in the HDF5 file refers to another file")


def test_virtual_dataset(hdf5, tmp_path):
    layout = h5py.VirtualLayout((8,), "f4")
    layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "values", shape=(8,))
    hdf5.create_virtual_dataset("model_weights/conv0/kernel:0", layout)
    refuse_hdf5(hdf5, "kernel:0 in the HDF5 file refers to another file")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_small_file_of_huge_data(hdf5, chunked):
    options = {"chunks": (2**20,), "compression": "gzip"} if chunked else {}
    hdf5.create_dataset("model_weights/conv0/kernel:0", (2**40,), "f4", **options)
    refuse_hdf5(hdf5, "more than [0-9,]+ values")


def test_huge_chunks(hdf5):
    hdf5.create_dataset(
        "model_weights/conv0/kernel:0", (8,), "f4", chunks=(MAX_VALUES + 1,), maxshape=(None,), compression="gzip"
    )
    refuse_hdf5(hdf5, "more than [0-9,]+ values")


def test_many_tensors_of_much_data(hdf5):
    for i in range(20):
        hdf5.create_dataset(f"model_weights/conv{i}/conv{i}/kernel:0", (MAX_VALUES // 10,), "f4")
    refuse_hdf5(hdf5, "more than [0-9,]+ values")


@pytest.mark.parametrize("values", [np.array(["a"], object), np.arange(3), np.ones(3, complex)])
def test_other_things_than_numbers(hdf5, values):
    hdf5.create_dataset("model_weights/conv0/kernel:0", data=values)
    refuse_hdf5(hdf5, "kernel:0 in the HDF5 file must hold floating-point numbers")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(hdf5, value):
    hdf5["model_weights/conv0/kernel:0"] = np.array([[[1.0, value]]])
    refuse_hdf5(hdf5, "is damaged: conv0/kernel is empty, or not finite")


def test_empty_tensor(hdf5):
    hdf5["model_weights/conv0/kernel:0"] = np.ones((3, 1, 0))
    refuse_hdf5(hdf5, "is damaged: conv0/kernel is empty, or not finite")


def test_model_in_a_model(hdf5):
    hdf5["model_weights/conv0/conv1d_1/kernel:0"] = np.ones((3, 1, 8))
    hdf5["model_weights/conv0/conv1d_2/kernel:0"] = np.ones((3, 1, 8))
    refuse_hdf5(hdf5, "conv0 in the HDF5 file is a nested model")


@pytest.mark.parametrize(
    "config",
    [
        b"{",
        b"[]",
        b'{"config": 3}',
        b'{"config": {"layers": [3]}}',
        b"[" * 10000,
        b"\xff",
        np.array([b"{}", b"{}"]),
        3,
    ],
    ids=lambda config: str(config)[:20],
)
def test_damaged_configuration(hdf5, config):
    hdf5["model_weights/conv0/kernel:0"] = np.ones((3, 1, 8))
    hdf5.attrs["model_config"] = config
    refuse_hdf5(hdf5, "is damaged, or not an HDF5 file of Keras|must be a single string")


@pytest.mark.parametrize("make", [lambda file: file.create_dataset("model_weights", data=1.0), lambda file: None])
def test_hdf5_of_something_else(hdf5, make):
    del hdf5["model_weights"]
    make(hdf5)
    refuse_hdf5(hdf5, "not an HDF5 file of Keras|do not have the names of the authors' HDF5 files")


# PyTorch


class Evil:
    def __reduce__(self):
        return print, ("code of the file was run",)


@pytest.mark.parametrize("archive", [False, True])
def test_pickle_that_runs_code(tmp_path, capsys, archive):
    path = tmp_path / "weights.pth"
    state = STATE | {"evil": Evil()}
    torch.save(state, path) if archive else path.write_bytes(pickle.dumps(state))
    refuse(path, "not an HDF5 file, a safetensors file or a PyTorch file of tensors alone")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "state",
    [
        torch.ones(3),
        [1, 2],
        {},
        {"conv1.0.weight": 3},
        {1: torch.ones(3)},
        {"conv1.0.weight": torch.ones(3).to_sparse()},
        {"conv1.0.weight": torch.ones(3, device="meta")},
        {"conv1.0.weight": torch.ones(3, dtype=torch.complex64)},
        {"state_dict": {}},
    ],
    ids=str,
)
def test_no_state_dict(save_state, state):
    refuse(save_state(state), "not a state dict")


def test_small_storage_of_a_huge_tensor(save_state):
    refuse(save_state(STATE | {"fc.weight": torch.ones(1).expand(2**40)}), "more than [0-9,]+ values")


def test_archive_that_unpacks_to_much(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 2**16)
    path = tmp_path / "weights.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data", bytes(2**20))
    assert path.stat().st_size < 2**16
    refuse(path, "unpacks to more than [0-9,]+ bytes")


@pytest.mark.parametrize(
    "content", [b"", b"\x80", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"RIFF0000WAVE", b"{}"], ids=str
)
@pytest.mark.parametrize("suffix", [".h5", ".pth", ".safetensors"])
def test_files_of_other_kinds(tmp_path, content, suffix):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    refuse(path, "not an HDF5 file")


@pytest.mark.parametrize("suffix", [".h5", ".pth", ".safetensors"])
def test_damaged_files(tmp_path, save_state, suffix):
    """Cut off, or with other bytes somewhere: refused in one line, or read where nothing that counts was hit."""
    if suffix == ".h5":
        path = tmp_path / "weights.h5"
        with h5py.File(path, "w") as file:
            for layer in ("conv0", "norm0", "logit"):
                file[f"model_weights/{layer}/{layer}/kernel:0"] = np.ones((3, 1, 8), np.float32)
            file.attrs["model_config"] = b'{"config": {"layers": []}}'
    else:
        path = save_state(STATE, suffix)
    content = path.read_bytes()
    generator = np.random.default_rng(0)
    refused = 0
    for i in range(150):
        damaged = bytearray(content[: generator.integers(len(content))] if i % 3 == 0 else content)
        for position in generator.integers(len(damaged), size=4) if damaged else ():
            damaged[position] = generator.integers(256)
        path.write_bytes(damaged)
        try:
            read_weights(path)
        except ConvertError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 30


def test_file_that_is_not_there(tmp_path):
    refuse(tmp_path / "nowhere.h5", "there is no file")
    refuse(tmp_path, "there is no file")


def test_without_h5py(hdf5, monkeypatch):
    path = Path(hdf5.filename)
    hdf5.close()
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"needs h5py: pip install 'samplecnn-hf\[convert\]'"):
        read_weights(path)
