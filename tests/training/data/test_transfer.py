import gzip
import hashlib
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from urllib3 import Retry

from tests.conftest import serving
from training.data import transfer
from training.data.transfer import RemoteFile, fetch
from training.errors import DataError

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
    monkeypatch.setattr(transfer, "RETRY", transfer.RETRY.new(backoff_factor=0))
    with serving(Server()) as server:
        yield server


@pytest.fixture
def remote(server):
    url = f"http://127.0.0.1:{server.server_port}/folder/file.bin"
    return RemoteFile(url, len(CONTENT), f"md5:{hashlib.md5(CONTENT).hexdigest()}")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.bin"


def assert_fails(message, function, *args):
    with pytest.raises(DataError, match=message) as error:
        function(*args)
    assert "\n" not in str(error.value)


def test_fetched_file(server, remote, path):
    for _ in range(2):
        assert fetch([remote], path) == {remote.url: remote.checksum}
        assert path.read_bytes() == CONTENT
    assert server.requests == [(None, len(CONTENT))]  # once


def test_file_published_in_pieces(server, remote, path):
    """Interrupted in the second piece, the download is resumed there."""
    second = replace(remote, url=remote.url.replace("file", "second"))
    server.cuts = [len(CONTENT), 300_000, 0]
    assert_fails("second.bin.*: run again to resume the download", fetch, [remote, second, remote], path)
    arrived = path.stat().st_size - len(CONTENT)
    assert 0 < arrived <= 300_000
    server.requests.clear()
    fetch([remote, second, remote], path)
    assert path.read_bytes() == 3 * CONTENT
    assert server.requests == [(f"bytes={arrived}-", len(CONTENT) - arrived), (None, len(CONTENT))]


def test_without_published_checksum(remote, path):
    computed = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    assert [fetch([replace(remote, checksum=None)], path) for _ in range(2)] == 2 * [{remote.url: computed}]


def test_cut_connection_is_resumed(server, remote, path):
    server.cuts = [300_000, 200_000]
    fetch([remote], path)
    assert path.read_bytes() == CONTENT
    starts = [int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0 for asked, _ in server.requests]
    assert len(starts) == 3 and 0 == starts[0] < starts[1] < starts[2] <= 500_000


def test_next_run_resumes_what_the_last_one_left(server, remote, path):
    path.write_bytes(CONTENT[:6000])
    fetch([remote], path)
    assert path.read_bytes() == CONTENT
    assert server.requests == [("bytes=6000-", len(CONTENT) - 6000)]


def test_server_that_ignores_range(server, remote, path):
    server.knows_range = False
    path.write_bytes(b"old" * 1000)
    fetch([remote], path)
    assert path.read_bytes() == CONTENT
    assert server.requests == [("bytes=3000-", len(CONTENT))]


def test_more_than_was_published(server, remote, path):
    path.write_bytes(CONTENT + b"more")
    fetch([remote], path)
    assert path.read_bytes() == CONTENT and server.requests == []


def test_file_changes_while_it_is_downloaded(server, remote, path):
    """The old beginning with the new end is noticed, and a new attempt starts from the beginning."""
    path.write_bytes(b"old" * 1000)
    assert_fails("instead of md5:.* and was removed: run again", fetch, [remote], path)
    fetch([remote], path)
    assert path.read_bytes() == CONTENT
    assert server.requests == [("bytes=3000-", len(CONTENT) - 3000), (None, len(CONTENT))]


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_wrong_checksum(server, remote, path, algorithm):
    expected = f"{algorithm}:{hashlib.new(algorithm, CONTENT).hexdigest()}"
    server.content = bytes(len(CONTENT))
    found = f"{algorithm}:{hashlib.new(algorithm, server.content).hexdigest()}"
    message = f"has the checksum {found} instead of {expected} and was removed"
    assert_fails(message, fetch, [replace(remote, checksum=expected)], path)
    assert path.stat().st_size == 0


@pytest.mark.parametrize(
    "content, arrived, headers, message",
    [
        (CONTENT[1:], 0, {}, f"{len(CONTENT) - 1} bytes instead of {len(CONTENT)}"),
        (CONTENT + b"more", 0, {}, f"{len(CONTENT) + 4} bytes instead of {len(CONTENT)}"),
        (CONTENT + b"more", 9, {}, f"{len(CONTENT) - 5} bytes instead of {len(CONTENT) - 9}"),
    ],
)
def test_other_size(server, remote, path, content, arrived, headers, message):
    server.content, server.headers = content, headers
    path.write_bytes(CONTENT[:arrived])
    assert_fails(f"file.bin offers {message}: the published file has changed", fetch, [remote], path)
    assert path.stat().st_size == arrived  # nothing is lost


def test_endless_file(server, remote, path):
    server.headers = {"Content-Length": None}
    server.content = CONTENT + b"more"
    fetch([remote], path)
    assert path.read_bytes() == CONTENT


def test_compressed_answer(server, remote, path):
    """A bomb in transit: no more is written than was published."""
    server.content = gzip.compress(bytes(50 * len(CONTENT)))
    server.headers = {"Content-Encoding": "gzip", "Content-Length": None}
    assert_fails("and was removed", fetch, [remote], path)
    assert path.stat().st_size == 0


@pytest.mark.parametrize("length", ["none", "-1", "9" * 99, "1, 2"])
def test_length_that_makes_no_sense(server, remote, path, length):
    server.headers = {"Content-Length": length}
    assert_fails("file.bin", fetch, [remote], path)


def test_not_found(server, remote, path):
    server.answers = [(404, "")]
    assert_fails("404 Client Error: Not Found", fetch, [remote], path)
    assert path.stat().st_size == 0


def test_busy_server_is_asked_again(server, remote, path):
    server.answers = [(503, ""), (429, "")]
    fetch([remote], path)
    assert path.read_bytes() == CONTENT


def test_server_that_stays_busy(server, remote, path):
    server.answers = 4 * [(503, "")]
    assert_fails("503.*: run again to resume the download", fetch, [remote], path)


def test_nobody_answers(server, remote, path):
    server.server_close()
    assert_fails("refused.*: run again to resume the download", fetch, [remote], path)


def test_silent_server(server, remote, path, monkeypatch):
    monkeypatch.setattr(transfer, "TIMEOUT", 0.05)
    monkeypatch.setattr(transfer, "RETRY", Retry(0))
    answer = threading.Event()
    monkeypatch.setattr(Handler, "do_GET", lambda handler: answer.wait(timeout=10))
    assert_fails("timed out.*: run again to resume the download", fetch, [remote], path)
    answer.set()


def test_redirect(server, remote, path):
    server.answers = [(302, "/elsewhere")]
    path.write_bytes(CONTENT[:9])
    fetch([remote], path)
    assert path.read_bytes() == CONTENT
    assert server.requests == [("bytes=9-", len(CONTENT) - 9)]


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/file.bin", "data:,file.bin"])
def test_other_protocols(server, remote, path, url):
    assert_fails("No connection adapters", fetch, [replace(remote, url=url)], path)
    server.answers = 3 * [(302, url)]
    assert_fails("No connection adapters", fetch, [remote], path)
    assert path.stat().st_size == 0
