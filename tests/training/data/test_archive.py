import errno
import gzip
import io
import os
import random
import stat
import struct
import tarfile
import zipfile
from functools import partial
from pathlib import Path

import pytest

from training.data.archive import unpack
from training.errors import DataError

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


def read_tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_refused(message, archive, folder):
    with pytest.raises(DataError, match=f"{archive} cannot be unpacked: {message}") as error:
        unpack(archive, folder, MAX_BYTES)
    assert "\n" not in str(error.value)


@pytest.fixture(params=[make_tar, make_zip])
def make(request, tmp_path):
    """make(...): an archive, as a tar.gz and as a zip."""
    return partial(request.param, tmp_path / ("archive.tar.gz" if request.param is make_tar else "archive.zip"))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "out" / "folder"


def test_unpacked_archive(make, folder):
    unpack(make(), folder, MAX_BYTES)
    assert read_tree(folder) == TREE


def test_owner_and_mode_are_not_taken_from_the_archive(tmp_path, folder):
    unpack(make_tar(tmp_path / "archive.tar.gz", name="program", mode=0o6777, uid=1, mtime=0), folder, MAX_BYTES)
    (tmp_path / "plain").touch()
    program, plain = (folder / "program").stat(), (tmp_path / "plain").stat()
    assert (program.st_mode, program.st_uid) == (plain.st_mode, plain.st_uid)


@pytest.mark.parametrize("name", ["../evil", "no/../../evil", "{}/../evil", "/evil", "..\\evil", "C:\\evil", "C:evil"])
def test_name_that_leads_out_of_the_folder(make, folder, tmp_path, name):
    """It is refused, or loses what leads out."""
    archive = make(name=name.format(folder), size=1)
    try:
        unpack(archive, folder, MAX_BYTES)
    except DataError as error:
        assert str(archive) in str(error)
    assert all(path.is_relative_to(folder) for path in tmp_path.rglob("*evil"))
    assert not Path("/evil").exists()


@pytest.mark.parametrize("kind", ["SYMTYPE", "LNKTYPE", "FIFOTYPE", "CHRTYPE", "BLKTYPE", "GNUTYPE_SPARSE"])
@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "no/a.wav"])
def test_tar_with_something_else_than_files(tmp_path, folder, kind, target):
    (tmp_path / "outside").touch()
    archive = make_tar(tmp_path / "archive.tar.gz", name="evil", type=getattr(tarfile, kind), linkname=target)
    assert_refused("'evil' is a special file", archive, folder)
    assert not os.path.lexists(folder / "evil")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_zip_with_something_else_than_files(tmp_path, folder, kind):
    archive = make_zip(tmp_path / "archive.zip", name="evil", size=9, mode=kind | 0o777)
    assert_refused(".*'evil' is a link or a device", archive, folder)
    assert not os.path.lexists(folder / "evil")


def test_null_byte_in_a_name(tmp_path, folder):
    archive = make_tar(tmp_path / "archive.tar.gz", name="\0\N{LATIN SMALL LETTER E WITH ACUTE}")
    assert_refused(".*null byte", archive, folder)


@pytest.mark.parametrize("name", ["no/a.wav/b.wav", "no"])
def test_names_that_stand_in_each_others_way(make, folder, name):
    assert_refused(".*(exists|directory)", make(name=name), folder)


def test_name_that_is_too_long(make, folder):
    assert_refused(".*File name too long", make(name=300 * "a"), folder)


def test_full_disk(make, folder, monkeypatch):
    def fill_the_disk(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    archive = make()
    for library in (tarfile, zipfile.shutil):
        monkeypatch.setattr(library, "copyfileobj", fill_the_disk)
    assert_refused(".*No space left on device", archive, folder)


def test_bomb(make, folder):
    archive = make(name="zeros", size=100 * MAX_BYTES)
    assert archive.stat().st_size < MAX_BYTES
    assert_refused("it unpacks to more than the expected 50,000 bytes", archive, folder)
    assert sum(map(len, read_tree(folder).values())) <= MAX_BYTES


def test_bomb_in_a_header(tmp_path, folder):
    archive = make_tar(tmp_path / "archive.tar.gz", pax_headers={"comment": "0" * 100 * MAX_BYTES})
    assert_refused("it unpacks to more than the expected 50,000 bytes", archive, folder)


def test_zip_that_understates_a_size(tmp_path, folder):
    archive = make_zip(tmp_path / "archive.zip", {"zeros": bytes(100 * MAX_BYTES)})
    size = struct.pack("<L", 100 * MAX_BYTES)
    archive.write_bytes(archive.read_bytes().replace(size, struct.pack("<L", 10)))
    assert_refused(".*[Oo]verlap|.*CRC|.*invalid", archive, folder)
    assert sum(map(len, read_tree(folder).values())) <= 10


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip_by_a_method_without_a_limit(tmp_path, folder, method):
    with zipfile.ZipFile(tmp_path / "archive.zip", "w", method) as archive:
        archive.writestr("zeros", bytes(1000))
    assert_refused("it is not compressed with deflate", tmp_path / "archive.zip", folder)


def test_incomplete_archive(make, folder):
    archive = make()
    content = archive.read_bytes()
    for size in range(0, len(content), 37):
        archive.write_bytes(content[:size])
        assert_refused("", archive, folder / str(size))


def test_damaged_content(make, folder):
    archive = make()
    content = archive.read_bytes()
    for position in range(len(content) // 2, len(content) // 2 + 200, 37):  # in the noise
        archive.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        assert_refused("", archive, folder / str(position))


@pytest.mark.parametrize("content", [b"<html>Not Found</html>", gzip.compress(b"<html>Not Found</html>", mtime=0)])
def test_no_archive(make, folder, content):
    archive = make()
    archive.write_bytes(content)
    assert_refused("", archive, folder)


def test_encrypted_zip(tmp_path, folder):
    archive = make_zip(tmp_path / "archive.zip")
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    assert_refused(".*encrypted", archive, folder)
