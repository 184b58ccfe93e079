import pytest

from training.data.claim import claim, is_claimed, remove_claimed
from training.errors import DataError

MARK = "MARK.txt"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "parent" / "folder"


def test_claimed_folder_is_kept_until_it_is_removed(folder):
    claim(folder, MARK, "why")
    assert (folder / MARK).read_text() == "why"
    (folder / "deep").mkdir()
    (folder / "deep" / "file").touch()
    claim(folder, MARK, "again")
    assert (folder / "deep" / "file").exists()
    remove_claimed(folder, MARK)
    assert not folder.exists()


def test_empty_folder_may_be_claimed(folder):
    folder.mkdir(parents=True)
    claim(folder, MARK, "")
    assert is_claimed(folder, MARK)


@pytest.mark.parametrize("name", ["thesis.tex", ".hidden", "MARK.txt/file", "mark"])
def test_what_others_made_is_neither_claimed_nor_removed(folder, name):
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text("mine")
    with pytest.raises(DataError, match="holds files of another origin: move it"):
        claim(folder, MARK, "")
    remove_claimed(folder, MARK)
    assert (folder / name).read_text() == "mine"


@pytest.mark.parametrize("kind", ["file", "link to a folder", "link to nothing"])
def test_no_folder(folder, tmp_path, kind):
    folder.parent.mkdir()
    if kind == "file":
        folder.write_text("mine")
    else:
        claim(tmp_path / "elsewhere", MARK, "")
        folder.symlink_to(tmp_path / ("elsewhere" if kind == "link to a folder" else "nothing"))
    with pytest.raises(DataError, match="is in the way: move it"):
        claim(folder, MARK, "")
    remove_claimed(folder, MARK)
    assert folder.is_symlink() or folder.read_text() == "mine"
    assert (kind == "file") or (tmp_path / "elsewhere" / MARK).exists()


def test_links_are_removed_and_not_followed(folder, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    claim(folder, MARK, "")
    (folder / "link").symlink_to(tmp_path / "mine")
    remove_claimed(folder, MARK)
    assert not folder.exists() and (tmp_path / "mine" / "file").exists()


def test_interrupted_removal_can_be_repeated(folder, monkeypatch):
    claim(folder, MARK, "")
    (folder / "deep").mkdir()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("training.data.claim.shutil.rmtree", interrupt)
        remove_claimed(folder, MARK)
    remove_claimed(folder, MARK)
    assert not folder.exists()


def interrupt(path):
    raise KeyboardInterrupt
