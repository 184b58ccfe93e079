"""
Fetch published files and unpack archives, trusting neither the connection nor the server nor the archive.

`fetch` goes on where an earlier attempt stopped and checks what it got; `unpack` writes plain files below one folder
and refuses an archive that wants anything else.
"""

import gzip
import hashlib
import http.client
import io
import os
import shutil
import ssl
import stat
import tarfile
import time
import urllib.request
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from tqdm import tqdm

from training.data.source import DataError

TIMEOUT = 30  # seconds without a byte
RETRY_PAUSES = (1, 4, 16)  # seconds before the second, the third and the fourth attempt

_BLOCK = 2**16  # bytes
_CONNECTION_ERRORS = (URLError, http.client.HTTPException, ssl.SSLError, ConnectionError, TimeoutError)
# The last two are what tarfile and zipfile raise at nonsense in headers and at encryption.
_ARCHIVE_ERRORS = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    ValueError,
    RuntimeError,
)


# Fetching


@dataclass(frozen=True)
class RemoteFile:
    """A file as it was published."""

    url: str
    num_bytes: int
    checksum: str | None  # "sha256:..." or "md5:..."; None where nobody has published one

    @property
    def name(self) -> str:
        return PurePosixPath(urlsplit(self.url).path).name


def fetch(remote: RemoteFile, folder: Path) -> str:
    """Download a file into `folder` and return its checksum (sha256 where none was published).

    The file appears when it is whole and checked; until then it is `NAME.part`. An interrupted download goes on where
    it stopped: what comes later belongs to what came before if together they have the published size and checksum.
    Without a checksum it starts anew.

    Raises:
        DataError: the server does not offer the published file, the connection fails again and again, or the checksum
            is wrong; then what arrived is removed.
    """
    path, part = folder / remote.name, folder / f"{remote.name}.part"
    if path.exists():
        return remote.checksum or _compute_checksum(path, "sha256")
    _receive(remote, part)
    checksum = _compute_checksum(part, (remote.checksum or "sha256").partition(":")[0])
    if remote.checksum not in (None, checksum):
        part.unlink()
        raise DataError(
            f"{remote.url} arrived with {checksum} instead of {remote.checksum} and was removed: run again; if that "
            "does not help, the published file has changed"
        )
    part.rename(path)
    return checksum


def _compute_checksum(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def _receive(remote: RemoteFile, part: Path) -> None:
    for pause in (*RETRY_PAUSES, None):
        try:
            return _receive_rest(remote, part)
        except _CONNECTION_ERRORS as error:
            refused = isinstance(error, HTTPError) and error.code < 500 and error.code not in (408, 429)
            if refused or pause is None:
                advice = "the file is not offered there" if refused else "run again to go on where it stopped"
                raise DataError(f"{remote.url}: {error}: {advice}") from error
            time.sleep(pause)


def _receive_rest(remote: RemoteFile, part: Path) -> None:
    """One attempt; what has arrived by its end is in `part`."""
    arrived = part.stat().st_size if part.exists() else 0
    if arrived == remote.num_bytes:
        return
    start = arrived if remote.checksum and arrived < remote.num_bytes else 0
    with _open(remote.url, start) as response:
        if response.status != 206:  # the whole file, whatever was asked for
            start = 0
        _check_offer(remote, response, start)
        with (
            part.open("ab" if start else "wb") as file,
            tqdm(desc=remote.name, initial=start, total=remote.num_bytes, unit="B", unit_scale=True) as progress,
        ):
            while missing := remote.num_bytes - file.tell():
                block = response.read1(min(_BLOCK, missing))
                if not block:
                    raise ConnectionError("the connection was cut")
                file.write(block)
                progress.update(len(block))


def _open(url: str, start: int) -> http.client.HTTPResponse:
    """Request a file from byte `start` on, by http or https only: urllib's usual opener also knows ftp and file."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    headers = {"User-Agent": "samplecnn-hf"} | ({"Range": f"bytes={start}-"} if start else {})
    return opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)


def _check_offer(remote: RemoteFile, response: http.client.HTTPResponse, start: int) -> None:
    """Compare sizes before the download: better to find out now than after gigabytes."""
    if response.status == 206:
        expected = f"bytes {start}-{remote.num_bytes - 1}/{remote.num_bytes}"
        offered = response.headers["Content-Range"]
    else:
        expected = f"{remote.num_bytes}"
        offered = response.headers.get("Content-Length", expected)
    if offered != expected:
        raise DataError(f"{remote.url} has a size of {offered} instead of {expected}: the published file has changed")


# Unpacking

_Members = Iterator[tuple[str, BinaryIO | None]]  # the names in an archive, and what is in those that are files


def unpack(parts: Sequence[Path], folder: Path, max_bytes: int) -> None:
    """Unpack a `.tar.gz` or `.zip` archive, whole or cut into parts, into `folder`, which must be new or empty.

    After an error `folder` is incomplete: give it a name that nobody takes for finished, and rename it later.

    Raises:
        DataError: the archive is damaged, unpacks to more than `max_bytes`, or holds anything but files and folders
            that lie below it and have different names.
    """
    name = parts[0].name
    read_members = _read_tar if name.endswith(".tar.gz") else _read_zip
    try:
        with _JoinedFiles(parts) as joined, io.BufferedReader(joined) as file:
            for path, content in tqdm(read_members(file, max_bytes), desc=f"unpack {name}", unit=" files"):
                _write(folder, path, content)
    except DataError as error:
        raise DataError(f"{parts[0]} {error}: do not use it") from error
    except _ARCHIVE_ERRORS as error:
        raise DataError(f"{parts[0]} is damaged ({error}): delete it and run again") from error


def _write(folder: Path, name: str, content: BinaryIO | None) -> None:
    """Write a file below `folder`, or make a folder where there is no content."""
    path = PureWindowsPath(name)  # knows / and \ and drives
    if path.anchor or ".." in path.parts:
        raise DataError(f"holds {name!r}, which leads out of its folder")
    try:
        (folder / name if content is None else (folder / name).parent).mkdir(parents=True, exist_ok=True)
        if content is not None:
            with content, (folder / name).open("xb") as file:
                shutil.copyfileobj(content, file)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise DataError(f"holds {name!r} twice") from error


def _read_tar(file: BinaryIO, max_bytes: int) -> _Members:
    with gzip.open(file) as unzipped:
        bounded = _Bounded(unzipped, max_bytes)
        with tarfile.open(fileobj=bounded, mode="r|") as archive:
            for member in archive:
                if not (member.isreg() or member.isdir()) or member.issparse():
                    raise DataError(f"holds {member.name!r}, which is a link, a device or the like")
                yield member.name, archive.extractfile(member)
        while bounded.read(_BLOCK):  # up to the end, where gzip checks everything
            pass


def _read_zip(file: BinaryIO, max_bytes: int) -> _Members:
    with zipfile.ZipFile(file) as archive:
        if sum(member.file_size for member in archive.infolist()) > max_bytes:  # no member is read beyond its size
            raise _too_large(max_bytes)
        for member in archive.infolist():
            if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DataError(f"holds {member.filename!r}, which is a link, a device or the like")
            yield member.filename, None if member.is_dir() else archive.open(member)


def _too_large(max_bytes: int) -> DataError:
    return DataError(f"unpacks to more than the expected {max_bytes:,} bytes")


class _Bounded:
    """Reads from `file` until more than `max_bytes` have come out of it; headers count, they may be huge too."""

    def __init__(self, file: BinaryIO, max_bytes: int):
        self._file = file
        self._max_bytes = max_bytes
        self._num_bytes = 0

    def read(self, size: int) -> bytes:
        block = self._file.read(size)
        self._num_bytes += len(block)
        if self._num_bytes > self._max_bytes:
            raise _too_large(self._max_bytes)
        return block


class _JoinedFiles(io.RawIOBase):
    """Files read one after the other, as if they were one."""

    def __init__(self, paths: Sequence[Path]):
        self._files = [path.open("rb") for path in paths]
        self._ends = list(accumulate(path.stat().st_size for path in paths))
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._ends[-1]}[whence]
        return self._position  # before the start it is negative, and BufferedReader raises

    def readinto(self, buffer) -> int:
        current = bisect_right(self._ends, self._position)
        if current == len(self._files):
            return 0
        self._files[current].seek(self._position - self._ends[current], os.SEEK_END)
        count = self._files[current].readinto(buffer)
        self._position += count
        return count

    def close(self) -> None:
        for file in self._files:
            file.close()
        super().close()
