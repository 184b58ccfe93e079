import pytest

from training.data.tables import audio_folder, check_paths, read_table
from training.errors import DataError


def test_rows_with_their_line_numbers(tmp_path):
    table = tmp_path / "a.csv"
    table.write_text('\ufeff"id"\tname\n\n1\tforêt, "b"\n', encoding="utf-8")
    assert read_table(table, "\t") == [(1, ["id", "name"]), (3, ["1", 'forêt, "b"'])]


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "a.csv is missing"),
        (b"", "a.csv has no rows"),
        (b"\n\n", "a.csv has no rows"),
        ("a,forêt\n".encode("latin-1"), "a.csv is not a table in UTF-8 text"),
        (b"a,b\n1\n1,2,3\n", "a.csv: row 2 has 1 columns instead of 2 .and 1 more like it.: correct the row"),
        (b"a,b\n\n1,2,3\n", "a.csv: row 3 has 3 columns instead of 2: correct"),
    ],
)
def test_faulty_table(tmp_path, content, message):
    if content is not None:
        (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        read_table(tmp_path / "a.csv", ",")
    assert "\n" not in str(error.value)


def test_good_names(tmp_path):
    check_paths(["b/c..mp3", "a.mp3"], tmp_path)
    check_paths([], tmp_path)


@pytest.mark.parametrize(
    "names, message",
    [
        (["a.mp3", "../secret.mp3"], "table.csv: '../secret.mp3' leads out of the folder: correct"),
        (["a/../../b.mp3", "/etc/passwd"], "'a/../../b.mp3' leads out of the folder .and 1 more like it.: correct"),
        (["/etc/passwd"], "'/etc/passwd' leads out"),
        (["new\nline.mp3"] * 2, r"'new\\nline.mp3' is listed more than once: keep one"),
        (["a.mp3", "a.mp3", "b.mp3", "b.mp3"], "'a.mp3' is listed more than once .and 1 more like it.: keep one"),
    ],
)
def test_bad_names(names, message):
    with pytest.raises(DataError, match=message) as error:
        check_paths(names, "table.csv")
    assert "\n" not in str(error.value)


def test_audio_folder(tmp_path):
    assert audio_folder(tmp_path) == tmp_path
    (tmp_path / "mp3").mkdir()
    assert audio_folder(tmp_path) == tmp_path / "mp3"
