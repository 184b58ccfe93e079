"""Addresses through the pipeline, against a server on this machine that behaves in every bad way."""

import gzip
import http.server
import time

import pytest

from samplecnn_hf import pipeline_samplecnn as module
from tests.conftest import serving

GZIP_BOMB = gzip.compress(bytes(10**8))


class Handler(http.server.BaseHTTPRequestHandler):
    """The first part of the path names what is answered."""

    protocol_version = "HTTP/1.1"
    sound: bytes

    def do_GET(self):
        try:
            getattr(self, self.path.split("/")[1].split("?")[0], self.missing)()
        except (BrokenPipeError, ConnectionResetError):
            pass  # the pipeline has hung up
        self.close_connection = True

    def answer(self, status=200, content=b"", **headers):
        self.send_response(status)
        for name, value in {"Content_Length": len(content), **headers}.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(content)

    def sound_wav(self):
        self.answer(content=self.sound)

    def chunked(self):
        half = len(self.sound) // 2
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(x), x) for x in (self.sound[:half], self.sound[half:], b""))
        self.answer(content=chunks, Content_Length=None, Transfer_Encoding="chunked")

    def named(self):
        assert self.path == "/named/t%C3%B6ne%20x.wav?a=%20b&c=%C3%A4", self.path
        self.sound_wav()

    def missing(self):
        self.answer(404, b"<html>not here</html>")

    def broken(self):
        self.answer(500)

    def redirect(self):
        """/redirect/3: so many redirects, then the sound."""
        count = int(self.path.split("/")[2])
        self.answer(302, b"moved", Location=f"/redirect/{count - 1}" if count > 1 else "../sound_wav")

    def loop(self):
        self.answer(301, Location="/loop")

    def nowhere(self):
        self.answer(302)

    def to_a_file(self):
        self.answer(302, Location="file:///etc/passwd")

    def to_ftp(self):
        self.answer(302, Location="ftp://127.0.0.1/sound.wav")

    def endless(self):
        self.answer(Content_Length=None)
        while True:
            self.wfile.write(bytes(2**16))

    def endless_redirect(self):
        self.answer(302, Content_Length=None, Location="/sound_wav")
        while True:
            self.wfile.write(bytes(2**16))

    def huge(self):
        self.answer(Content_Length=10**15)
        self.endless()

    def drip(self):
        self.answer(Content_Length=10**6)
        self._drip(bytes(1))

    def drip_headers(self):
        self._drip(b"x")

    def _drip(self, byte):
        for _ in range(200):
            self.wfile.write(byte)
            self.wfile.flush()
            time.sleep(0.05)

    def silent(self):
        time.sleep(2)

    def short(self):
        self.answer(content=self.sound[:1000], Content_Length=len(self.sound))

    def gzipped(self):
        self.answer(content=GZIP_BOMB, Content_Encoding="gzip")

    def page(self):
        self.answer(content=b"<!DOCTYPE html>" * 100)

    def rubbish(self):
        self.wfile.write(b"\x00\xff" * 1000)

    def rude(self):
        self.send_response(403, "No\x1b[31m " + "way " * 1000)
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def server(write_tone, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    handler = type("Handler", (Handler,), {"sound": write_tone().read_bytes()})
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    httpd.daemon_threads, httpd.block_on_close = True, False
    with serving(httpd):
        yield f"http://127.0.0.1:{httpd.server_port}"


@pytest.mark.parametrize(
    "path",
    ["sound_wav", "chunked", "named/töne x.wav?a= b&c=ä", "named/t%C3%B6ne%20x.wav?a=%20b&c=%C3%A4"]
    + ["redirect/1", f"redirect/{module.MAX_REDIRECTS}"],
)
def test_good_addresses(pipe, expected, assert_same, server, path):
    assert_same(pipe(f"{server}/{path}"), expected, 1e-3)
    assert_same(pipe([f"{server}/{path}".replace("http:", "HTTP:")] * 2, batch_size=2)[1], expected, 1e-3)


BAD = {
    "nothing_here": "404 Not Found",
    "broken": "500 Internal Server Error",
    f"redirect/{module.MAX_REDIRECTS + 1}": "more than 5 redirects",
    "loop": "more than 5 redirects",
    "nowhere": "302 Found",
    "to_a_file": "(only http and https|protocol)",
    "to_ftp": "(only http and https|protocol)",
    "endless": "larger than 1 MiB",
    "huge": "larger than 1 MiB",
    "drip": "longer than 1 seconds",
    "drip_headers": "longer than 1 seconds",
    "silent": "timed out",
    "short": "received 1000 bytes",
    "gzipped": "cannot be read as audio",
    "page": "cannot be read as audio",
    "rubbish": "cannot read",
    "rude": "403",
}


@pytest.mark.parametrize("path", BAD)
def test_bad_addresses_are_one_line(pipe, server, monkeypatch, path):
    monkeypatch.setattr(module, "MAX_DOWNLOAD_BYTES", 2**20)
    if path in ("drip", "drip_headers", "silent"):  # on a busy machine, the others may take longer
        monkeypatch.setattr(module, "DOWNLOAD_SECONDS", 1)
        monkeypatch.setattr(module, "SILENT_SECONDS", 0.5)
    url = f"{server}/{path}"
    with pytest.raises((OSError, ValueError), match=BAD[path]) as error:
        pipe(url)
    assert len(str(error.value)) < 500 and str(error.value).isprintable()
    assert pipe([url], on_error="return") == [{"error": str(error.value)}]


def test_a_redirect_is_not_read(pipe, expected, assert_same, server):
    assert_same(pipe(f"{server}/endless_redirect"), expected, 1e-3)


@pytest.mark.parametrize(
    "url",
    ["http://", "https:///x.wav", "http://[::1", "http://[::1]:port/", "http://127.0.0.1:99999999/", "http://a b/"]
    + ["http://\0/", "http://\n/", "http://ü" + "x" * 100, "http://127.0.0.1:1/x.wav", "http://" + "a" * 10_000]
    + ["ftp://127.0.0.1/x.wav", "file:///etc/passwd", "s3://bucket/x.wav", "HTTP://127.0.0.1:1", "http://%00/"],
)
def test_invalid_addresses_are_one_line(pipe, monkeypatch, url):
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(module, "DOWNLOAD_SECONDS", 5)
    with pytest.raises(OSError, match="cannot read") as error:
        pipe(url)
    assert len(str(error.value)) < 500 and str(error.value).isprintable()


def test_a_file_may_be_named_like_an_address(pipe, write_tone, monkeypatch):
    path = write_tone("https.wav")
    monkeypatch.chdir(path.parent)
    assert pipe("https.wav") == pipe(str(path))
