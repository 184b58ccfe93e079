"""
Unpack untrusted archives.

`tarfile` (with its `data` filter) and `zipfile` keep members inside the folder; kinds and sizes are limited here.
"""

import gzip
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from samplecnn_hf.text import one_line
from training.errors import DataError

_BLOCK = 2**16  # bytes
# The last five are raised for malformed headers, encryption and extreme names.
_ARCHIVE_ERRORS = (tarfile.TarError, zipfile.BadZipFile, zlib.error)
_ARCHIVE_ERRORS += (EOFError, LookupError, OSError, RuntimeError, ValueError)


def unpack(archive: Path, folder: Path, max_bytes: int) -> None:
    """Unpack a `.tar.gz` or `.zip` archive into `folder`, which must be new or empty.

    After an error `folder` is incomplete: unpack to a temporary name and rename it afterwards.

    Raises:
        DataError: the archive is damaged, unpacks to more than `max_bytes`, or holds links, devices or names that lead
            out of the folder or cannot be written.
    """
    unpack_members = _unpack_tar if archive.name.endswith(".tar.gz") else _unpack_zip
    folder.mkdir(parents=True, exist_ok=True)  # otherwise a member named "." would become a file
    try:
        unpack_members(archive, folder, max_bytes)
    except _ARCHIVE_ERRORS as error:
        raise DataError(f"{archive} cannot be unpacked: {one_line(error) or repr(error)}") from error


def _unpack_tar(archive: Path, folder: Path, max_bytes: int) -> None:
    with _BoundedGzip(archive, max_bytes) as file, tarfile.open(fileobj=file, mode="r|") as opened:
        opened.extractall(folder, tqdm(opened, desc=f"unpack {archive.name}", unit=" files"), filter=_plain)
        while file.read(_BLOCK):  # gzip verifies its checksum at the end
            pass


def _plain(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    """A filter for `tarfile`: regular files and folders inside `folder`, without mode and date."""
    if not (member.isreg() or member.isdir()) or member.issparse():
        raise tarfile.SpecialFileError(member)
    return tarfile.data_filter(member, folder).replace(mode=None, mtime=None, deep=False)


class _BoundedGzip(gzip.GzipFile):
    def __init__(self, path: Path, max_bytes: int):
        super().__init__(path)
        self.max_bytes = max_bytes

    def read(self, size: int = -1) -> bytes:
        block = super().read(size)
        if self.tell() > self.max_bytes:  # including headers, which may be huge
            raise _too_large(self.max_bytes)
        return block


def _unpack_zip(archive: Path, folder: Path, max_bytes: int) -> None:
    with zipfile.ZipFile(archive) as opened:
        members = opened.infolist()
        if sum(member.file_size for member in members) > max_bytes:  # zipfile never reads more of a member than this
            raise _too_large(max_bytes)
        if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in members):
            raise zipfile.BadZipFile("it is not compressed with deflate")  # others decompress without a memory limit
        for member in members:
            kind, name = stat.S_IFMT(member.external_attr >> 16), PurePosixPath(member.filename)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or name.is_absolute() or ".." in name.parts:
                raise zipfile.BadZipFile(f"{member.filename!r} is a link or a device, or leads out of the folder")
        for member in tqdm(members, desc=f"unpack {archive.name}", unit=" files"):
            opened.extract(member, folder)


def _too_large(max_bytes: int) -> ValueError:
    return ValueError(f"it unpacks to more than the expected {max_bytes:,} bytes")
