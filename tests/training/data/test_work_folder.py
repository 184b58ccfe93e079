import pytest

from training.data.work_folder import MARKER, TEXT, make_work_folder, remove_work_folder
from training.errors import DataError


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "parent" / "folder"


def test_folder_is_kept_until_it_is_removed(folder):
    make_work_folder(folder)
    assert (folder / MARKER).read_text() == TEXT
    (folder / "deep").mkdir()
    (folder / "deep" / "file").touch()
    make_work_folder(folder)
    assert (folder / "deep" / "file").exists()
    remove_work_folder(folder)
    assert not folder.exists()


def test_empty_folder_is_reused(folder):
    folder.mkdir(parents=True)
    make_work_folder(folder)
    assert (folder / MARKER).is_file()


@pytest.mark.parametrize("name", ["thesis.tex", ".hidden", f"{MARKER}/file", MARKER.lower()])
def test_other_folders_are_neither_used_nor_removed(folder, name):
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text("mine")
    with pytest.raises(DataError, match="holds other files: move it"):
        make_work_folder(folder)
    remove_work_folder(folder)
    assert (folder / name).read_text() == "mine"


@pytest.mark.parametrize("kind", ["file", "link to a folder", "link to nothing"])
def test_no_folder(folder, tmp_path, kind):
    folder.parent.mkdir()
    if kind == "file":
        folder.write_text("mine")
    else:
        make_work_folder(tmp_path / "elsewhere")
        folder.symlink_to(tmp_path / ("elsewhere" if kind == "link to a folder" else "nothing"))
    with pytest.raises(DataError, match="is in the way: move it"):
        make_work_folder(folder)
    remove_work_folder(folder)
    assert folder.is_symlink() or folder.read_text() == "mine"
    assert (kind == "file") or (tmp_path / "elsewhere" / MARKER).exists()


def test_links_are_removed_and_not_followed(folder, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    make_work_folder(folder)
    (folder / "link").symlink_to(tmp_path / "mine")
    remove_work_folder(folder)
    assert not folder.exists() and (tmp_path / "mine" / "file").exists()


def test_interrupted_removal_can_be_repeated(folder, monkeypatch):
    make_work_folder(folder)
    (folder / "deep").mkdir()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("training.data.work_folder.shutil.rmtree", interrupt)
        remove_work_folder(folder)
    remove_work_folder(folder)
    assert not folder.exists()


def interrupt(path):
    raise KeyboardInterrupt
