import csv
import json
import os

import pytest
from filelock import FileLock

from samplecnn_hf.cli import jobs
from samplecnn_hf.cli.jobs import Job
from samplecnn_hf.cli.tables import FORMATS

FILES = [f"clip, {i}.wav" for i in range(7)]
BROKEN = FILES[2]
COLUMNS = ["file", "label", "score", "error"]
ROWS = [
    {"file": name, "label": label, "score": score}
    for name in FILES
    if name != BROKEN
    for label, score in (('"a"\nب', 0.75), ("b", 0.25))
]


class Stop(Exception):
    pass


def read(path):
    """The rows of a table, without empty cells."""
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            rows = [row | {"score": float(row["score"] or 0)} for row in csv.DictReader(file)]
    elif path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    else:
        pandas = pytest.importorskip("pandas")
        rows = pandas.read_parquet(path).astype(object).to_dict("records")
    return [{name: value for name, value in row.items() if value and value == value} for row in rows]


@pytest.fixture
def answer(monkeypatch):
    """answer(error=..., after=...): a function that answers files and raises the error after some of them."""
    monkeypatch.setattr(jobs, "PART_SECONDS", 0)  # one part per file
    answered = []

    def make(error=None, after=0):
        def answer(files):
            for i, file in enumerate(files):
                if error is not None and i == after:
                    raise error
                answered.append(file)
                if file == BROKEN:
                    yield [{"file": file, "error": "it is broken"}]
                else:
                    yield [row for row in ROWS if row["file"] == file]

        return answer

    make.answered = answered
    return make


@pytest.mark.parametrize("suffix", FORMATS)
def test_all_rows_are_written_once(tmp_path, answer, suffix):
    path = tmp_path / f"out{suffix}"
    assert Job(path, FILES, COLUMNS, {}).run(answer()) == 1
    expected = [*ROWS[:4], {"file": BROKEN, "error": "it is broken"}, *ROWS[4:]]
    assert read(path) == expected
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_names_that_are_not_utf8(tmp_path, suffix):
    name = os.fsdecode(b"caf\xe9.wav")
    path = tmp_path / f"out{suffix}"
    assert Job(path, [name], COLUMNS, {}).run(lambda files: ([{"file": file, "label": "a"}] for file in files)) == 0
    assert b"caf\xe9.wav" in path.read_bytes()


def test_parquet_needs_names_in_utf8(tmp_path):
    with pytest.raises(ValueError, match=r"caf\\udce9.wav is not UTF-8, as Parquet needs: write a .csv or .jsonl"):
        Job(tmp_path / "out.parquet", [os.fsdecode(b"caf\xe9.wav")], COLUMNS, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, Stop])
def test_interrupted_jobs_continue(tmp_path, answer, suffix, error, capsys):
    path = tmp_path / f"out{suffix}"
    for after in (4, 2):
        with pytest.raises(error):
            Job(path, FILES, COLUMNS, {"model": "m"}).run(answer(error(), after))
        assert not path.exists()
    assert Job(path, FILES, COLUMNS, {"model": "m"}).run(answer()) == 1  # counts errors of all runs
    assert "continuing after 6 of 7 files" in capsys.readouterr().err
    assert answer.answered == FILES
    assert [row["file"] for row in read(path)] == [file for file in FILES for _ in range(1 + (file != BROKEN))]
    assert list(tmp_path.iterdir()) == [path]


def test_interrupted_after_the_last_file(tmp_path, answer, monkeypatch):
    path = tmp_path / "out.csv"
    monkeypatch.setattr(jobs, "concatenate", lambda *args: (_ for _ in ()).throw(Stop))
    with pytest.raises(Stop):
        Job(path, FILES, COLUMNS, {}).run(answer())
    monkeypatch.undo()
    assert Job(path, FILES, COLUMNS, {}).run(answer(Stop())) == 1
    assert answer.answered == FILES and len(read(path)) == len(ROWS) + 1


def test_parts_are_as_long_as_they_take(tmp_path, answer, monkeypatch):
    """What Ctrl-C interrupts within a part is kept as well."""
    monkeypatch.setattr(jobs, "PART_SECONDS", 1e9)
    monkeypatch.setattr(jobs, "PART_ROWS", 4)
    with pytest.raises(KeyboardInterrupt):
        Job(tmp_path / "out.csv", FILES, COLUMNS, {}).run(answer(KeyboardInterrupt(), 6))
    parts = sorted(path.name for path in (tmp_path / "out.csv.parts").glob("*.csv"))
    assert parts == ["000000000-000000002.csv", "000000002-000000005.csv", "000000005-000000006.csv"]


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [(FILES, {"top_k": 2, "model": "m"}, "top_k"), (FILES[1:], {"top_k": 1, "model": "m"}, "names of the files")],
)
def test_other_options_are_refused(tmp_path, answer, files, options, message):
    path = tmp_path / "out.csv"
    with pytest.raises(Stop):
        Job(path, FILES, COLUMNS, {"top_k": 1, "model": "m"}).run(answer(Stop(), 1))
    before = sorted((tmp_path / "out.csv.parts").iterdir())
    with pytest.raises(ValueError, match=f"holds an unfinished job with other .*{message}.*: repeat its command"):
        Job(path, files, COLUMNS, options).run(answer())
    assert sorted((tmp_path / "out.csv.parts").iterdir()) == before and answer.answered == FILES[:1]


def test_a_job_that_was_killed_before_its_first_part_does_not_count(tmp_path, answer):
    folder = tmp_path / "out.csv.parts"
    folder.mkdir()
    (folder / "job.json").write_text('{"hop_length_s": 3}')
    Job(tmp_path / "out.csv", FILES, COLUMNS, {}).run(answer())
    assert answer.answered == FILES


def test_an_error_before_the_first_file_leaves_nothing(tmp_path, answer):
    with pytest.raises(Stop):
        Job(tmp_path / "out.csv", FILES, COLUMNS, {"model": "typo"}).run(answer(Stop()))
    assert list(tmp_path.iterdir()) == []


def test_two_processes(tmp_path, answer):
    (tmp_path / "out.csv.parts").mkdir()
    with FileLock(tmp_path / "out.csv.parts" / "lock"):
        with pytest.raises(OSError, match="another process is writing .*out.csv: wait for it"):
            Job(tmp_path / "out.csv", FILES, COLUMNS, {}).run(answer())
    assert answer.answered == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("out.xls", "has an unknown suffix: give one of .csv, .jsonl, .parquet"),
        ("out", "has an unknown suffix"),
        ("nowhere/out.csv", "there is no folder .*nowhere: create it"),
        ("folder.csv", "is a folder: give the file to write"),
    ],
)
def test_faults_of_the_output(tmp_path, name, message):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises((OSError, ValueError), match=message):
        Job(tmp_path / name, FILES, COLUMNS, {})
