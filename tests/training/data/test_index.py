import pytest

from training.data.index import audio_folder, check_files, list_files, read_rows
from training.data.source import DataError


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_rows_with_their_line_numbers(tmp_path):
    table = tmp_path / "a.csv"
    table.write_text('\ufeff"id"\tname\n\n1\tforêt, "b"\n', encoding="utf-8")
    assert read_rows(table, "\t") == [(1, ["id", "name"]), (3, ["1", 'forêt, "b"'])]


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "a.csv is missing"),
        (b"", "a.csv has no rows"),
        (b"\n\n", "a.csv has no rows"),
        ("a,forêt\n".encode("latin-1"), "a.csv is not a table in UTF-8 text"),
        (b"a,b\n\n1,2,3\n", "a.csv, row 3: 3 columns instead of 2"),
    ],
)
def test_faulty_table(tmp_path, content, message):
    if content is not None:
        (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        read_rows(tmp_path / "a.csv", ",")
    assert "\n" not in str(error.value)


def test_listing_of_a_folder(tmp_path):
    touch(tmp_path, "a.mp3", "b/c.mp3", "b/d/é.mp3")
    (tmp_path / "empty").mkdir()
    assert list_files(tmp_path) == {"a.mp3", "b/c.mp3", "b/d/é.mp3"}
    assert list_files(tmp_path / "nowhere") == set()


def test_files_that_are_there(tmp_path):
    touch(tmp_path, "a.mp3", "b/c.mp3", "b/more.mp3")
    check_files(tmp_path, ["b/c.mp3", "a.mp3"])
    check_files(tmp_path, [])


@pytest.mark.parametrize(
    "names, message",
    [
        (["a.mp3", "b.mp3", "c.mp3"], "2 of 3 listed files are not in .*folder, first of all 'b.mp3'"),
        (["a.mp3", "../secret.mp3"], "1 of 2 .* first of all '../secret.mp3'"),
        (["a.mp3", "../folder/a.mp3"], "1 of 2 .* first of all '../folder/a.mp3'"),
        (["a.mp3", "new\nline.mp3"], r"1 of 2 .* first of all 'new\\nline.mp3'"),
        (["a.mp3", "a.mp3"], "'a.mp3' is listed more than once"),
    ],
)
def test_files_that_are_not_there(tmp_path, names, message):
    touch(tmp_path, "folder/a.mp3", "secret.mp3")
    with pytest.raises(DataError, match=message) as error:
        check_files(tmp_path / "folder", names)
    assert "\n" not in str(error.value)


def test_absolute_path_is_refused(tmp_path):
    touch(tmp_path, "a.mp3")
    with pytest.raises(DataError, match="1 of 1"):
        check_files(tmp_path, [str(tmp_path / "a.mp3")])


def test_audio_folder(tmp_path):
    assert audio_folder(tmp_path) == tmp_path
    (tmp_path / "mp3").mkdir()
    assert audio_folder(tmp_path) == tmp_path / "mp3"
