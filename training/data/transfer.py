"""
Download published files over an untrusted connection: resume, and verify published sizes and checksums.

Requests and urllib3 implement HTTP and retries.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import requests
from requests.adapters import HTTPAdapter
from tqdm import tqdm
from urllib3 import Retry

from training.errors import DataError

TIMEOUT = 30  # maximum number of seconds without data
RETRY = Retry(3, backoff_factor=1, status_forcelist=(408, 429, 500, 502, 503, 504), respect_retry_after_header=False)

_BLOCK = 2**16  # bytes


@dataclass(frozen=True)
class RemoteFile:
    """A published file, or one part of a file that is published in several parts."""

    url: str
    num_bytes: int
    checksum: str | None  # "sha256:..." or "md5:..."; None if none is published

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


def fetch(parts: Sequence[RemoteFile], path: Path) -> dict[str, str]:
    """Download a file, published in one or more parts, to `path`. A partial file at `path` is resumed.

    Returns:
        The checksum of each part by its URL (sha256 if none is published).

    Raises:
        DataError: the server does not offer the published file, the connection fails repeatedly, or a checksum is
            wrong; the data of that part are then removed.
    """
    checksums = {}
    path.touch()
    with path.open("r+b") as file, requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=RETRY))
        end = 0
        for part in parts:
            start, end = end, end + part.num_bytes
            _receive(session, part, file, start)
            found = checksums[part.url] = _checksum(file, start, end, (part.checksum or "sha256").partition(":")[0])
            if part.checksum not in (None, found):
                file.truncate(start)
                raise DataError(
                    f"{part.url} has the checksum {found} instead of {part.checksum} and was removed: run again; if "
                    "the error persists, the published file has changed"
                )
        file.truncate(end)
    return checksums


def _checksum(file: BinaryIO, start: int, end: int, algorithm: str) -> str:
    digest = hashlib.new(algorithm)
    file.seek(start)
    while block := file.read(min(_BLOCK, end - file.tell())):
        digest.update(block)
    return f"{algorithm}:{digest.hexdigest()}"


def _receive(session: requests.Session, part: RemoteFile, file: BinaryIO, start: int) -> None:
    """Complete `part`, which starts at byte `start` of `file`. Reconnect while attempts make progress."""
    while (arrived := file.seek(0, os.SEEK_END) - start) < part.num_bytes:
        try:
            _receive_missing(session, part, file, start, arrived)
        except requests.RequestException as error:
            if file.seek(0, os.SEEK_END) - start <= arrived:
                raise DataError(f"cannot download {part.url}: {error}: run again to resume the download") from error


def _receive_missing(session: requests.Session, part: RemoteFile, file: BinaryIO, start: int, arrived: int) -> None:
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={arrived}-"} if arrived else {})
    with session.get(part.url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        response.raise_for_status()
        if response.status_code != 206:  # the complete file: the server ignores ranges
            arrived = 0
        missing = part.num_bytes - arrived
        offered = response.headers.get("Content-Length", str(missing))
        if offered != str(missing):  # checked before gigabytes are transferred
            raise DataError(f"{part.url} offers {offered} bytes instead of {missing}: the published file has changed")
        file.truncate(file.seek(start + arrived))
        with tqdm(desc=part.name, initial=arrived, total=part.num_bytes, unit="B", unit_scale=True) as progress:
            for block in response.iter_content(_BLOCK):
                progress.update(file.write(block[:missing]))
                missing -= len(block)
                if missing <= 0:
                    return
    raise requests.ConnectionError("the connection was cut")
