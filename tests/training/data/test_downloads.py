import errno
import hashlib
import io
import json
import re
import shutil
import tarfile
import threading
import zipfile
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import serving
from training import download
from training.data import downloads, load_source
from training.data.sources import dcase2017
from training.data.transfer import RemoteFile
from training.data.work_folder import MARKER
from training.errors import DataError

WORDS = [f"{word}/{speaker}_nohash_0.wav" for word in ("no", "yes") for speaker in "abc"]
SPEECH = {name: name.encode() for name in [*WORDS, "_background_noise_/tap.wav"]} | {
    "validation_list.txt": b"no/b_nohash_0.wav\nyes/b_nohash_0.wav\n",
    "testing_list.txt": b"yes/c_nohash_0.wav\n",
}
MUSIC = {name: name.encode() for name in ("0/a-0-29.mp3", "c/b-0-29.mp3", "f/c-0-29.mp3")}
ANNOTATIONS = "\n".join(
    ["clip_id\tpiano\tharp\tmp3_path", *(f"{i}\t1\t{i % 2}\t{name}" for i, name in enumerate(MUSIC, start=2))]
)


def make_tar(tree):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in tree.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def make_zip_parts(tree):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in tree.items():
            archive.writestr(name, content)
    content = buffer.getvalue()
    return content[:100], content[100:200], content[200:]


def make_tables():
    rows = [f"t{i}.wav\t30.000\t40.000\tBus\n" for i in range(10)]
    return "".join(rows).encode(), b"x.wav\t0.000\t10.000\tTrain\n", b"e.wav\t0.000\t10.000\tCar\n"


@pytest.fixture
def web(tmp_path, monkeypatch):
    """A web server for the files in `web.folder`; `web.requests` lists what it was asked for."""
    folder = tmp_path / "web"
    folder.mkdir()
    web = SimpleNamespace(folder=folder, requests=[], gate=threading.Event())
    web.gate.set()

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self):
            web.requests.append(self.path[1:])
            web.gate.wait()
            super().do_GET()

        def log_message(self, *args):
            pass

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))) as server:
        web.url = f"http://127.0.0.1:{server.server_port}"
        yield web


@pytest.fixture
def publish(web, monkeypatch):
    """publish(name, *contents): the files of a dataset are at `web` now, with these contents."""

    def put(file, content):
        (web.folder / file.name).write_bytes(content)
        checksum = file.checksum and f"sha256:{hashlib.sha256(content).hexdigest()}"
        return RemoteFile(f"{web.url}/{file.name}", len(content), checksum)

    def publish(name, *contents):
        dataset = downloads.DOWNLOADS[name]
        files = tuple(put(file, content) for file, content in zip(dataset.files, contents, strict=True))
        tables = len(dataset.tables)
        dataset = replace(dataset, tables=files[:tables], archive=files[tables:], unpacked_bytes=100_000)
        monkeypatch.setitem(downloads.DOWNLOADS, name, dataset)
        return [file.name for file in files]

    return publish


@pytest.fixture
def speech(publish):
    return publish("speech_commands", make_tar(SPEECH))


@pytest.fixture
def data_dir(tmp_path):
    return tmp_path / "data" / "set"


def run(name, data_dir):
    download.main([name, "--data_dir", str(data_dir)])


def fail(name, data_dir):
    """Its one line of error."""
    with pytest.raises(SystemExit) as error:
        run(name, data_dir)
    assert re.fullmatch("error: .*", error.value.code)  # one line
    return error.value.code


def make_work(data_dir):
    """The working folder, as a process that was killed left it."""
    work = data_dir.with_name("set.download")
    work.mkdir(parents=True)
    (work / MARKER).touch()
    return work


def read_tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def count_clips(source, data_dir):
    return {split: len(clips) for split, clips in load_source(source, data_dir).splits.items()}


def read_record(data_dir):
    return json.loads((data_dir / "download.json").read_text())


# The datasets


@pytest.mark.parametrize("name", ["speech_commands", "speech_commands_v0.01"])
def test_speech_commands(name, publish, data_dir, capsys):
    archive = make_tar(SPEECH)
    publish(name, archive)
    run(name, data_dir)
    assert count_clips("speech_commands", data_dir) == {"train": 3, "validation": 2, "test": 1}
    record = read_record(data_dir)
    assert record["dataset"] == name
    assert list(record["files"].values()) == [f"sha256:{hashlib.sha256(archive).hexdigest()}"]
    assert {name: content for name, content in read_tree(data_dir).items() if name != "download.json"} == SPEECH
    assert sorted(path.name for path in data_dir.parent.iterdir()) == [".set.lock", "set"]
    assert json.loads(capsys.readouterr().out) == {"dataset": name, "data_dir": str(data_dir)}


def test_magnatagatune(publish, data_dir):
    publish("magnatagatune", ANNOTATIONS.encode(), *make_zip_parts(MUSIC))
    run("magnatagatune", data_dir)
    source = load_source("magnatagatune-26k", data_dir)
    assert source.labels == ["piano", "harp"]
    clips = {
        split: [(clip.path.read_bytes(), clip.labels) for clip in clips] for split, clips in source.splits.items()
    }
    assert clips == {
        "train": [(b"0/a-0-29.mp3", (0,))],
        "validation": [(b"c/b-0-29.mp3", (0, 1))],
        "test": [(b"f/c-0-29.mp3", (0,))],
    }
    expected = {"annotations_final.csv", "download.json", *(f"mp3/{name}" for name in MUSIC)}
    assert set(read_tree(data_dir)) == expected  # neither archives nor a joined copy


def test_dcase2017(publish, data_dir, capsys):
    tables = make_tables()
    names = publish("dcase2017", *tables)
    for _ in range(2):  # what is left to do is told again
        run("dcase2017", data_dir)
        out = capsys.readouterr().out
        for folder in dcase2017.AUDIO_FOLDERS.values():
            assert f"{data_dir}/{folder}/" in out
    assert count_clips("dcase2017", data_dir) == {"train": 10, "validation": 1, "test": 1}
    record = read_record(data_dir)["files"]
    assert [Path(url).name for url in record] == names
    assert list(record.values()) == [f"sha256:{hashlib.sha256(table).hexdigest()}" for table in tables]


def test_file_without_published_checksum(publish, data_dir, capsys):
    *_, evaluation = tables = make_tables()
    publish("dcase2017", *tables)
    run("dcase2017", data_dir)
    warning = capsys.readouterr().out.splitlines()[0]
    assert re.match("groundtruth_weak_label_evaluation_set.csv is unverified, its checksum is not published", warning)
    assert warning.endswith(f"sha256:{hashlib.sha256(evaluation).hexdigest()}")


def test_table():
    for dataset in downloads.DOWNLOADS.values():
        assert len({file.name for file in dataset.files}) == len(dataset.files)
        for file in dataset.files:
            assert file.url.startswith("https://")
            assert file.checksum is None or re.fullmatch("sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}", file.checksum)
        if dataset.archive:
            assert sum(file.num_bytes for file in dataset.archive) < dataset.unpacked_bytes


# Interruptions


def test_complete_data_set_is_not_fetched_again(speech, web, data_dir):
    for _ in range(2):
        run("speech_commands", data_dir)
    assert web.requests == speech


def test_two_at_once(speech, web, data_dir, monkeypatch):
    """The second one waits for the first, and finds everything done."""
    waits = threading.Event()
    monkeypatch.setattr(downloads, "print", lambda *args, **options: waits.set(), raising=False)
    errors = []

    def run_in_thread():
        try:
            downloads.download("speech_commands", data_dir)
        except DataError as error:
            errors.append(error)

    web.gate.clear()
    threads = [threading.Thread(target=run_in_thread) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert waits.wait(timeout=10)
    web.gate.set()
    for thread in threads:
        thread.join()
    assert not errors
    assert web.requests == speech
    assert read_record(data_dir)["dataset"] == "speech_commands"


def test_killed_while_unpacking(speech, web, data_dir):
    work = make_work(data_dir)
    (work / "complete" / "no").mkdir(parents=True)
    (work / "complete" / "no" / "half.wav").touch()
    shutil.copy(web.folder / speech[0], work)
    run("speech_commands", data_dir)
    assert set(read_tree(data_dir)) == {*SPEECH, "download.json"}
    assert not work.exists()
    assert web.requests == []


def test_killed_while_cleaning_up(speech, web, data_dir):
    run("speech_commands", data_dir)
    work = make_work(data_dir)
    shutil.copy(web.folder / speech[0], work)
    run("speech_commands", data_dir)
    assert not work.exists()
    assert web.requests == speech


def test_interrupted_at_the_last_moment(speech, web, data_dir, monkeypatch):
    def interrupt(path, target):
        if target == data_dir:
            raise KeyboardInterrupt
        return path.replace(target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", interrupt)
        with pytest.raises(SystemExit, match="interrupted: run the same command again to resume"):
            run("speech_commands", data_dir)
    assert not data_dir.exists()
    run("speech_commands", data_dir)
    assert set(read_tree(data_dir)) == {*SPEECH, "download.json"}
    assert web.requests == speech


# What can go wrong


def test_malicious_archive(publish, web, data_dir):
    publish("speech_commands", make_tar(SPEECH | {"../../evil.wav": b""}))
    assert "which is outside the destination" in fail("speech_commands", data_dir)
    assert not data_dir.exists()
    assert not list(data_dir.parent.rglob("evil*"))


def test_bomb(publish, data_dir):
    publish("speech_commands", make_tar(SPEECH | {"no/zeros.wav": bytes(1_000_000)}))
    assert "it unpacks to more than the expected 100,000 bytes" in fail("speech_commands", data_dir)
    assert not data_dir.exists()


def test_wrong_checksum(speech, web, data_dir):
    archive = web.folder / speech[0]
    good = archive.read_bytes()
    archive.write_bytes(bytes(len(good)))
    assert "and was removed: run again" in fail("speech_commands", data_dir)
    assert not data_dir.exists()
    archive.write_bytes(good)
    run("speech_commands", data_dir)
    assert set(read_tree(data_dir)) == {*SPEECH, "download.json"}


def test_not_found(speech, web, data_dir):
    (web.folder / speech[0]).unlink()
    assert "404 Client Error" in fail("speech_commands", data_dir)
    assert not data_dir.exists()


def test_small_disk(publish, web, data_dir, monkeypatch):
    names = publish("magnatagatune", ANNOTATIONS.encode(), *make_zip_parts(MUSIC))
    files = sum((web.folder / name).stat().st_size for name in names)

    def set_free(num_bytes):
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=num_bytes))

    set_free(files + 100_000 - 1)
    assert "GB are needed: make room or choose another folder" in fail("magnatagatune", data_dir)
    assert web.requests == []
    shutil.copy(web.folder / names[0], data_dir.with_name("set.download"))  # needs no room any more
    shutil.copy(web.folder / names[1], data_dir.with_name("set.download") / "mp3.zip")
    run("magnatagatune", data_dir)
    assert web.requests == names[2:]


@pytest.mark.parametrize("name", ["wedding.jpg", "no/a.wav"])
def test_folder_in_use(speech, web, data_dir, name):
    (data_dir / name).parent.mkdir(parents=True)
    (data_dir / name).touch()
    assert "set already contains files not created by this command: choose a new folder" in fail(
        "speech_commands", data_dir
    )
    assert list(read_tree(data_dir)) == [name]
    assert web.requests == []


@pytest.mark.parametrize("complete", [False, True])
def test_working_folder_of_another_origin(speech, web, data_dir, complete):
    """It is never removed, whether the dataset is made or not."""
    if complete:
        run("speech_commands", data_dir)
    work = data_dir.with_name("set.download")
    (work / "complete").mkdir(parents=True)
    (work / "complete" / "thesis.tex").touch()
    if complete:
        run("speech_commands", data_dir)
    else:
        assert "set.download holds other files: move it" in fail("speech_commands", data_dir)
        assert web.requests == []
    assert list(read_tree(work)) == ["complete/thesis.tex"]


@pytest.mark.parametrize("record", [b"", b"{}", b"[1]", b'{"dataset": "mine"}', b"\xff", b"null"])
def test_folder_with_a_record_of_another_origin(speech, data_dir, record):
    data_dir.mkdir(parents=True)
    (data_dir / "download.json").write_bytes(record)
    assert "choose another folder for speech_commands" in fail("speech_commands", data_dir)
    assert read_tree(data_dir) == {"download.json": record}


def test_full_disk(speech, data_dir, monkeypatch):
    """Nothing is half there, and the same command goes on once there is room."""

    def fill_the_disk(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(tarfile, "copyfileobj", fill_the_disk)
        assert "No space left on device" in fail("speech_commands", data_dir)
    assert not data_dir.exists()
    run("speech_commands", data_dir)
    assert set(read_tree(data_dir)) == {*SPEECH, "download.json"}


def test_file_in_the_way(speech, data_dir):
    data_dir.parent.mkdir()
    data_dir.touch()
    assert "set already contains files not created by this command" in fail("speech_commands", data_dir)


def test_mount_point(speech, data_dir, monkeypatch):
    monkeypatch.setattr(Path, "is_mount", lambda path: True)
    assert "set is a mount point: choose a folder in it" in fail("speech_commands", data_dir)


def test_folder_with_another_dataset(speech, publish, data_dir):
    run("speech_commands", data_dir)
    publish("speech_commands_v0.01", make_tar(SPEECH))
    assert "set holds speech_commands: choose another folder" in fail("speech_commands_v0.01", data_dir)


def test_empty_folder_behind_a_link(speech, data_dir, tmp_path):
    (tmp_path / "large_disk" / "set").mkdir(parents=True)
    data_dir.parent.mkdir()
    data_dir.symlink_to(tmp_path / "large_disk" / "set")
    run("speech_commands", data_dir)
    assert data_dir.is_symlink()
    assert set(read_tree(tmp_path / "large_disk" / "set")) == {*SPEECH, "download.json"}
