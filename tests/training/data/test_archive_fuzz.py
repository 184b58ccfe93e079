"""Hostile archives, drawn at random: each is refused in one line, or unpacked into plain files below the folder."""

import gzip
import io
import os
import random
import shutil
import stat
import struct
import tarfile
import warnings
import zipfile

import pytest

from training.data.archive import unpack
from training.errors import DataError

NUM_ARCHIVES = 400
MAX_BYTES = 200_000

NAMES = [
    *("a.wav", "A.wav", "a.wav/b.wav", "no/a.wav", "no", "./no/../a.wav", "a//b", "a/./b", "dir/", "CON", "a:b"),
    *("../evil", "../../evil", "no/../../evil", "/evil", "//evil", "{outside}/evil", "{folder}/../evil", "~/evil"),
    *("..\\evil", "C:\\evil", "C:evil", "\\\\host\\evil", "..", ".", "/", "", " ", "...", "../folder_evil/x"),
    *("nul\0/../evil", "line\nfeed.wav", "\x1b[2Jevil", "-rf", "caf\u00e9.wav", "cafe\u0301.wav", "\u202egnp.wav"),
    *("\udcff\udcfe.wav", 255 * "a", 256 * "a", "/".join(100 * ["a"]), 3000 * "a/" + "b", "download.json"),
]
TAR_TYPES = [bytes([code]) for code in 60 * b"0" + b"555123456LKSxgXV\x00\xff"]  # files above all
LINKS = ["/etc/passwd", "{outside}", "{outside}/keep.txt", "..", "../outside", "a.wav", ".", "", "no"]
SIZES = [0, 1, 511, 512, 513, 3000]
PAX = [
    {"path": "../evil"},
    {"path": "nul\0byte"},
    {"size": "99999999999"},
    {"size": "-1"},
    {"size": "many"},
    {"mtime": "1e300"},
    {"mtime": "nan"},
    {"uid": "1e9", "uname": "root"},
    {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "../evil", "GNU.sparse.realsize": "9" * 15},
    {"GNU.sparse.map": "0,1,99999999999,1", "GNU.sparse.size": "99999999999"},
    {"linkpath": "{outside}", "comment": "0" * 5000},
    {"hdrcharset": "BINARY", "path": "\udcff"},
]


def draw_name(rng):
    return rng.choice(NAMES) if rng.random() < 0.4 else f"no/{rng.randrange(10)}.wav"


def draw_content(rng):
    if rng.random() < 0.03:
        return bytes(10 * MAX_BYTES)  # a bomb
    return rng.randbytes(rng.choice(SIZES))


def make_tar(rng, fill):
    """A tar.gz of a few members; in some its headers are damaged before they are compressed."""
    buffer = io.BytesIO()
    format = rng.choice([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
        for _ in range(rng.randrange(1, 5)):
            member = tarfile.TarInfo(fill(draw_name(rng)))
            member.type = rng.choice(TAR_TYPES)
            member.linkname = fill(rng.choice(LINKS)) if rng.random() < 0.5 else ""
            member.mode = rng.choice([0, 0o644, 0o777, 0o6777, 0o7777777])
            member.mtime = rng.choice([0, -1, 2**31, 2**62])
            member.uid = rng.choice([0, 1000, 2**40])
            if format == tarfile.PAX_FORMAT and rng.random() < 0.15:
                member.pax_headers = {name: fill(value) for name, value in rng.choice(PAX).items()}
            content = draw_content(rng)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    content = bytearray(buffer.getvalue())
    if rng.random() < 0.3:
        start = 512 * rng.randrange(min(20, len(content) // 512))
        header = content[start : start + 512]
        for _ in range(rng.randrange(1, 4)):
            header[rng.randrange(512)] = rng.choice([0, 0x30, 0x37, 0x80, 0xFF])
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)  # the checksum of the header: it is believed
        content[start : start + 512] = header
    return gzip.compress(bytes(content), compresslevel=1)


def make_zip(rng, fill):
    """A zip of a few members; in some the sizes, offsets or flags are wrong."""
    buffer = io.BytesIO()
    methods = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
    with zipfile.ZipFile(buffer, "w") as archive:
        for _ in range(rng.randrange(1, 5)):
            name = fill(draw_name(rng)).encode("utf-8", "replace").decode()
            member = zipfile.ZipInfo(name)
            member.filename = name  # with its null byte
            kind = rng.choice([0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFBLK])
            member.external_attr = (kind | 0o7777) << 16 | rng.choice([0, 0x10])
            method = zipfile.ZIP_STORED if name.endswith("/") else rng.choices(methods, (20, 20, 20, 1, 1))[0]
            archive.writestr(member, b"" if name.endswith("/") else draw_content(rng), method)
    content = bytearray(buffer.getvalue())
    if rng.random() < 0.3:
        for _ in range(rng.randrange(1, 4)):
            record = content.find(rng.choice([b"PK\1\2", b"PK\3\4", b"PK\5\6"]))
            if record >= 0:
                struct.pack_into("<H", content, record + rng.randrange(4, 20), rng.choice([0, 1, 9, 0x7FFF, 0xFFFF]))
    return bytes(content)


def damage(rng, content):
    """Cut off, changed, or followed by something else; most archives stay as they are."""
    position = rng.randrange(len(content))
    flipped = bytes([content[position] ^ 1 << rng.randrange(8)])
    return rng.choices(
        [
            content,
            content[:position],
            content[:position] + flipped + content[position + 1 :],
            content[:position] + rng.randbytes(20) + content[position:],
            content + rng.randbytes(100),
        ],
        (10, 1, 1, 1, 1),
    )[0]


@pytest.mark.parametrize("make, suffix", [(make_tar, ".tar.gz"), (make_zip, ".zip")])
def test_hostile_archives(tmp_path, monkeypatch, make, suffix):
    monkeypatch.setattr("training.data.archive.tqdm", lambda members, **options: members)
    outside, folder, archive = tmp_path / "outside", tmp_path / "out" / "folder", tmp_path / f"archive{suffix}"
    outside.mkdir()
    (outside / "keep.txt").write_text("keep")
    folder.parent.mkdir()
    root = sorted(os.listdir("/"))
    outcomes = {"refused": 0, "unpacked": 0}
    for seed in range(NUM_ARCHIVES // 2):
        rng = random.Random(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of zipfile: duplicate names
            content = make(rng, lambda text: text.replace("{outside}", str(outside)).replace("{folder}", str(folder)))
        archive.write_bytes(damage(rng, content))
        try:
            unpack(archive, folder, MAX_BYTES)
            outcomes["unpacked"] += 1
        except DataError as error:
            assert str(error).isprintable(), seed
            outcomes["refused"] += 1
        assert sorted(os.listdir("/")) == root, seed
        assert sorted(os.listdir(tmp_path)) == sorted(["out", "outside", archive.name]), seed
        assert os.listdir(outside) == ["keep.txt"] and (outside / "keep.txt").read_text() == "keep", seed
        assert os.listdir(folder.parent) == ["folder"] and folder.is_dir(), seed
        created = [path.lstat() for path in folder.rglob("*")]
        assert all(stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode) for status in created), seed
        assert sum(status.st_size for status in created if stat.S_ISREG(status.st_mode)) <= MAX_BYTES, seed
        shutil.rmtree(folder)
    assert min(outcomes.values()) > NUM_ARCHIVES // 20, outcomes
