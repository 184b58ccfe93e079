import gzip
import hashlib
import io
import os
import random
import stat
import struct
import tarfile
import threading
import zipfile
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from training.data import transfer
from training.data.source import DataError
from training.data.transfer import RemoteFile, fetch, unpack

CONTENT = bytes(range(256)) * 4096  # 1 MiB


class Server(ThreadingHTTPServer):
    """Serves `content` at every address, with the faults it is told to have."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.cuts = []  # of the next answers: cut off after so many bytes
        self.answers = []  # before it serves anything: status and, for a redirect, the address
        self.headers = {}
        self.knows_range = True
        self.requests = []  # (Range header, bytes sent)

    def handle_error(self, request, client_address):
        """A client that does not want the rest is no error."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, asked = self.server, self.headers["Range"]
        if server.answers:
            status, address = server.answers.pop(0)
            self.send_response(status)
            self.send_header("Location", address)
            return self.end_headers()
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and server.knows_range else 0
        body = server.content[start:]
        headers = {"Content-Length": len(body)}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(server.content) - 1}/{len(server.content)}"
        self.send_response(206 if start else 200)
        for name, value in (headers | server.headers).items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        body = body[: server.cuts.pop(0) if server.cuts else None]
        server.requests.append((asked, len(body)))
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(transfer, "RETRY_PAUSES", (0, 0))
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def remote(server):
    url = f"http://127.0.0.1:{server.server_port}/folder/file.bin?download=1"
    return RemoteFile(url, len(CONTENT), f"md5:{hashlib.md5(CONTENT).hexdigest()}")


def assert_fails(message, function, *args):
    with pytest.raises(DataError, match=message) as error:
        function(*args)
    assert "\n" not in str(error.value)


# Fetching


def test_fetched_file(server, remote, tmp_path):
    assert fetch(remote, tmp_path) == remote.checksum
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin"]
    assert fetch(remote, tmp_path) == remote.checksum
    assert server.requests == [(None, len(CONTENT))]  # once


def test_without_published_checksum(remote, tmp_path):
    computed = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    assert [fetch(replace(remote, checksum=None), tmp_path) for _ in range(2)] == [computed, computed]


def test_cut_connection_goes_on_where_it_stopped(server, remote, tmp_path):
    server.cuts = [300_000, 1]
    fetch(remote, tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.requests == [(None, 300_000), ("bytes=300000-", 1), ("bytes=300001-", len(CONTENT) - 300_001)]


def test_next_run_goes_on_where_the_last_one_stopped(server, remote, tmp_path):
    server.cuts = [1000, 2000, 3000]
    assert_fails("the connection was cut: run again to go on where it stopped", fetch, remote, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin.part"]
    fetch(remote, tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.requests[3:] == [("bytes=6000-", len(CONTENT) - 6000)]


def test_process_killed_before_the_check(server, remote, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    fetch(remote, tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.requests == []


def test_server_that_ignores_range(server, remote, tmp_path):
    server.knows_range = False
    server.cuts = [300_000]
    fetch(remote, tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.requests == [(None, 300_000), ("bytes=300000-", len(CONTENT))]


def test_what_cannot_be_continued_starts_anew(server, remote, tmp_path):
    server.cuts = [300_000]
    fetch(replace(remote, checksum=None), tmp_path)
    (tmp_path / "file.bin").rename(tmp_path / "file.bin.part")
    (tmp_path / "file.bin.part").open("ab").write(b"more than was published")
    fetch(remote, tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.requests == [(None, 300_000), (None, len(CONTENT)), (None, len(CONTENT))]


def test_file_changes_while_it_is_downloaded(server, remote, tmp_path):
    """The old beginning with the new end is noticed, and a new attempt starts from the beginning."""
    (tmp_path / "file.bin.part").write_bytes(b"old" * 1000)
    assert_fails("instead of md5:.* and was removed: run again", fetch, remote, tmp_path)
    fetch(remote, tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.requests == [("bytes=3000-", len(CONTENT) - 3000), (None, len(CONTENT))]


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_wrong_checksum(server, remote, tmp_path, algorithm):
    expected = f"{algorithm}:{hashlib.new(algorithm, CONTENT).hexdigest()}"
    server.content = bytes(len(CONTENT))
    found = f"{algorithm}:{hashlib.new(algorithm, server.content).hexdigest()}"
    message = f"arrived with {found} instead of {expected} and was removed"
    assert_fails(message, fetch, replace(remote, checksum=expected), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content, arrived, headers, message",
    [
        (CONTENT[1:], 0, {}, f"{len(CONTENT) - 1} instead of {len(CONTENT)}"),
        (CONTENT + b"more", 0, {}, f"{len(CONTENT) + 4} instead of {len(CONTENT)}"),
        (CONTENT + b"more", 9, {}, f"bytes 9-{len(CONTENT) + 3}/{len(CONTENT) + 4} instead of bytes 9-"),
        (CONTENT, 9, {"Content-Range": None}, "None instead of bytes 9-"),
        (CONTENT, 9, {"Content-Range": "bytes 8-9/10"}, "bytes 8-9/10 instead of bytes 9-"),
    ],
)
def test_other_size(server, remote, tmp_path, content, arrived, headers, message):
    server.content, server.headers = content, headers
    part = tmp_path / "file.bin.part"
    part.write_bytes(CONTENT[:arrived])
    assert_fails(f"file.bin.* has a size of {message}.*: the published file has changed", fetch, remote, tmp_path)
    assert part.stat().st_size == arrived  # nothing is lost


def test_endless_file(server, remote, tmp_path):
    server.headers = {"Content-Length": None}
    server.content = CONTENT + b"more"
    fetch(remote, tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_not_found(server, remote, tmp_path):
    server.answers = [(404, "")]
    assert_fails("HTTP Error 404: Not Found: the file is not offered there", fetch, remote, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_busy_server_is_asked_again(server, remote, tmp_path):
    server.answers = [(503, ""), (429, "")]
    fetch(remote, tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_nobody_answers(server, remote, tmp_path):
    server.server_close()
    assert_fails("refused.*: run again to go on where it stopped", fetch, remote, tmp_path)


def test_silent_server(server, remote, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "TIMEOUT", 0.05)
    monkeypatch.setattr(transfer, "RETRY_PAUSES", ())
    answer = threading.Event()
    monkeypatch.setattr(Handler, "do_GET", lambda handler: answer.wait(timeout=10))
    assert_fails("timed out: run again to go on where it stopped", fetch, remote, tmp_path)
    answer.set()


def test_redirect(server, remote, tmp_path):
    server.answers = [(302, "/elsewhere")]
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:9])
    fetch(remote, tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.requests == [("bytes=9-", len(CONTENT) - 9)]


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/file.bin", "data:,file.bin"])
def test_other_protocols(server, remote, tmp_path, url):
    assert_fails("unknown url type", fetch, replace(remote, url=url), tmp_path)
    server.answers = 3 * [(302, url)]
    assert_fails("unknown url type|HTTP Error 302", fetch, remote, tmp_path)


# Unpacking

NOISE = random.Random(0).randbytes(1000)
TREE = {"no/a.wav": b"a" * 1000, "yes/b.wav": b"", "list.txt": b"no/a.wav\n", "noise": NOISE}
MAX_BYTES = 50_000


def make_tar(path, tree=TREE, **member):
    """Names with ./ before them, as in Speech Commands; then a member with the given attributes, if there are any."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in tree.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        if member:
            info = tarfile.TarInfo()
            for name, value in member.items():
                setattr(info, name, value)
            archive.addfile(info, io.BytesIO(bytes(info.size)))
    return path


def make_zip(path, tree=TREE, name=None, size=0, mode=stat.S_IFREG):
    """Then a member with the given name, size and mode, if there is a name."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, content in tree.items():
            archive.writestr(file, content)
        if name:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, bytes(size), zipfile.ZIP_DEFLATED)
    return path


def cut_into_parts(path, *sizes):
    """archive.zip -> archive.zip.001 of sizes[0] bytes, ...; the last part has the rest."""
    content = path.read_bytes()
    parts = []
    for number, size in enumerate((*sizes, len(content)), start=1):
        parts.append(path.with_name(f"{path.name}.{number:03}"))
        parts[-1].write_bytes(content[:size])
        content = content[size:]
    return parts


def read_tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_refused(message, archive, folder):
    assert_fails(f"{archive} {message}", unpack, [archive], folder, MAX_BYTES)


@pytest.fixture(params=[make_tar, make_zip])
def make(request, tmp_path):
    """make(...): an archive, as a tar.gz and as a zip."""
    return partial(request.param, tmp_path / ("archive.tar.gz" if request.param is make_tar else "archive.zip"))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "out" / "folder"


def test_unpacked_archive(make, folder):
    unpack([make()], folder, MAX_BYTES)
    assert read_tree(folder) == TREE


def test_zip_in_parts(tmp_path, folder):
    tree = {f"{i}/noise.mp3": random.Random(i).randbytes(100_000) for i in range(3)}  # larger than any buffer
    archive = make_zip(tmp_path / "archive.zip", tree)
    for sizes in ((70_000, 70_000), (1, 0, 2), (archive.stat().st_size - 10, 9)):
        unpack(cut_into_parts(archive, *sizes), folder / str(sizes), 10 * MAX_BYTES)
        assert read_tree(folder / str(sizes)) == tree


def test_owner_and_mode_are_not_taken_from_the_archive(tmp_path, folder):
    unpack([make_tar(tmp_path / "archive.tar.gz", name="program", mode=0o6777, uid=1)], folder, MAX_BYTES)
    (tmp_path / "plain").touch()
    program, plain = (folder / "program").stat(), (tmp_path / "plain").stat()
    assert (program.st_mode, program.st_uid) == (plain.st_mode, plain.st_uid)


@pytest.mark.parametrize(
    "name", ["../evil", "no/../../evil", "{}/../evil", "..\\evil", "C:\\evil", "C:evil", "\\evil"]
)
def test_name_that_leads_out_of_the_folder(make, folder, tmp_path, name):
    archive = make(name=name.format(folder), size=1)
    assert_refused("holds .*evil', which leads out of its folder: do not use it", archive, folder)
    assert not list(tmp_path.rglob("*evil"))


@pytest.mark.parametrize("kind", ["SYMTYPE", "LNKTYPE", "FIFOTYPE", "CHRTYPE", "BLKTYPE", "GNUTYPE_SPARSE"])
@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "no/a.wav"])
def test_tar_with_something_else_than_files(tmp_path, folder, kind, target):
    (tmp_path / "outside").touch()
    archive = make_tar(tmp_path / "archive.tar.gz", name="evil", type=getattr(tarfile, kind), linkname=target)
    assert_refused("holds 'evil', which is a link, a device or the like: do not use it", archive, folder)
    assert not os.path.lexists(folder / "evil")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_zip_with_something_else_than_files(tmp_path, folder, kind):
    archive = make_zip(tmp_path / "archive.zip", name="evil", size=9, mode=kind | 0o777)
    assert_refused("holds 'evil', which is a link, a device or the like: do not use it", archive, folder)
    assert not (folder / "evil").exists()


def test_name_that_is_none(tmp_path, folder):
    archive = make_tar(tmp_path / "archive.tar.gz", name="\0\N{LATIN SMALL LETTER E WITH ACUTE}")
    assert_refused("is damaged .*null byte", archive, folder)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["no/a.wav", "no/a.wav/b.wav", "no"])
def test_names_that_stand_in_each_others_way(make, folder, name):
    assert_refused(f"holds '{name}' twice: do not use it", make(name=name), folder)


def test_bomb(make, folder):
    archive = make(name="zeros", size=100 * MAX_BYTES)
    assert archive.stat().st_size < MAX_BYTES
    assert_refused("unpacks to more than the expected 50,000 bytes: do not use it", archive, folder)
    assert sum(map(len, read_tree(folder).values())) <= MAX_BYTES


def test_bomb_in_a_header(tmp_path, folder):
    archive = make_tar(tmp_path / "archive.tar.gz", pax_headers={"comment": "0" * 100 * MAX_BYTES})
    assert_refused("unpacks to more than the expected 50,000 bytes: do not use it", archive, folder)


def test_zip_that_understates_a_size(tmp_path, folder):
    archive = make_zip(tmp_path / "archive.zip", {"zeros": bytes(100 * MAX_BYTES)})
    size = struct.pack("<L", 100 * MAX_BYTES)
    archive.write_bytes(archive.read_bytes().replace(size, struct.pack("<L", 10)))
    assert_refused("is damaged", archive, folder)
    assert sum(map(len, read_tree(folder).values())) <= 10


def test_incomplete_archive(make, folder):
    archive = make()
    content = archive.read_bytes()
    for size in range(0, len(content), 37):
        archive.write_bytes(content[:size])
        assert_refused("is damaged .*: delete it and run again", archive, folder / str(size))


def test_damaged_content(make, folder):
    archive = make()
    content = archive.read_bytes()
    for position in range(len(content) // 2, len(content) // 2 + 200, 37):  # in the noise
        archive.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        assert_refused("is damaged .*: delete it and run again", archive, folder / str(position))


@pytest.mark.parametrize("content", [b"<html>Not Found</html>", gzip.compress(b"<html>Not Found</html>")])
def test_no_archive(make, folder, content):
    archive = make()
    archive.write_bytes(content)
    assert_refused("is damaged .*: delete it and run again", archive, folder)


def test_encrypted_zip(tmp_path, folder):
    archive = make_zip(tmp_path / "archive.zip")
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    assert_refused("is damaged .*encrypted", archive, folder)
