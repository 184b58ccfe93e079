"""
Fetch published files; neither the connection nor the server is trusted.

Requests and urllib3 do the HTTP and the retries; resuming, published sizes and checksums are here.
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

TIMEOUT = 30  # seconds without a byte
RETRY = Retry(3, backoff_factor=1, status_forcelist=(408, 429, 500, 502, 503, 504), respect_retry_after_header=False)

_BLOCK = 2**16  # bytes


@dataclass(frozen=True)
class RemoteFile:
    """A published file, or one piece of a file that is published in several."""

    url: str
    num_bytes: int
    checksum: str | None  # "sha256:..." or "md5:..."; None where nobody has published one

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


def fetch(pieces: Sequence[RemoteFile], path: Path) -> dict[str, str]:
    """Download a file, published in one or more pieces, to `path`; what is there already is kept and continued.

    Returns:
        The checksum of each piece by its URL (sha256 where none was published).

    Raises:
        DataError: the server does not offer the published file, the connection fails repeatedly, or a checksum is
            wrong; what arrived of that piece is then removed.
    """
    checksums = {}
    path.touch()
    with path.open("r+b") as file, requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=RETRY))
        end = 0
        for piece in pieces:
            start, end = end, end + piece.num_bytes
            _receive(session, piece, file, start)
            found = checksums[piece.url] = _checksum(file, start, end, (piece.checksum or "sha256").partition(":")[0])
            if piece.checksum not in (None, found):
                file.truncate(start)
                raise DataError(
                    f"{piece.url} arrived with {found} instead of {piece.checksum} and was removed: run again; if "
                    "that does not help, the published file has changed"
                )
        file.truncate(end)
    return checksums


def _checksum(file: BinaryIO, start: int, end: int, algorithm: str) -> str:
    digest = hashlib.new(algorithm)
    file.seek(start)
    while block := file.read(min(_BLOCK, end - file.tell())):
        digest.update(block)
    return f"{algorithm}:{digest.hexdigest()}"


def _receive(session: requests.Session, piece: RemoteFile, file: BinaryIO, start: int) -> None:
    """Append what is missing of `piece`, whose first byte is byte `start` of `file`, as long as something arrives."""
    while (arrived := file.seek(0, os.SEEK_END) - start) < piece.num_bytes:
        try:
            _receive_rest(session, piece, file, start, arrived)
        except requests.RequestException as error:
            if file.seek(0, os.SEEK_END) - start <= arrived:
                raise DataError(f"cannot download {piece.url}: {error}: run again to resume the download") from error


def _receive_rest(session: requests.Session, piece: RemoteFile, file: BinaryIO, start: int, arrived: int) -> None:
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={arrived}-"} if arrived else {})
    with session.get(piece.url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        response.raise_for_status()
        if response.status_code != 206:  # the whole file, whatever was asked for
            arrived = 0
        missing = piece.num_bytes - arrived
        offered = response.headers.get("Content-Length", str(missing))
        if offered != str(missing):  # better to know now than after gigabytes
            raise DataError(f"{piece.url} offers {offered} bytes instead of {missing}: the published file has changed")
        file.truncate(file.seek(start + arrived))
        with tqdm(desc=piece.name, initial=arrived, total=piece.num_bytes, unit="B", unit_scale=True) as progress:
            for block in response.iter_content(_BLOCK):
                progress.update(file.write(block[:missing]))
                missing -= len(block)
                if missing <= 0:
                    return
    raise requests.ConnectionError("the connection was cut")
