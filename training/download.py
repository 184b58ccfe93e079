"""
Download a data set of the paper, in the layout that training/data/ reads.

    python -m training.download speech_commands --data_dir data/speech_commands_v0.02

    speech_commands        2.4 GB, 3.5 GB unpacked    the paper's: version 0.02, 35 words
    speech_commands_v0.01  1.5 GB, 2.1 GB unpacked    30 words
    magnatagatune          3.0 GB, 3.0 GB unpacked    its server is slow
    dcase2017              3 MB: the tables           the audio is on YouTube; tells how to go on by hand
    million_song           nothing: its audio may not be handed out

DATA_DIR appears when everything in it is complete and checked. Until then the work is in DATA_DIR.download, and the
same command resumes it. Archives are removed once they are unpacked.
"""

import argparse
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from training.data.archive import unpack
from training.data.claim import claim, remove_claimed
from training.data.sources.dcase2017 import AUDIO_FOLDERS
from training.data.transfer import RemoteFile, fetch
from training.errors import DataError, errors_in_one_line

RECORD = "download.json"  # in a complete DATA_DIR: what it holds, and the checksums of what was downloaded
MARK = "UNFINISHED.txt"  # in DATA_DIR.download

SPEECH = "https://storage.googleapis.com/download.tensorflow.org/data"
MUSIC = "https://mirg.city.ac.uk/datasets/magnatagatune"
SCENES = "ankitshah009/Task-4-Large-scale-weakly-supervised-sound-event-detection-for-smart-cars"  # the organisers
SCENES_DEVELOPMENT = f"https://raw.githubusercontent.com/{SCENES}/0dd75f6445a54384d845490671d5dc6a163f617a"
SCENES_EVALUATION = f"https://raw.githubusercontent.com/{SCENES}/2127761812763b95f6c000a1a7db73992b489412"

SCENES_BY_HAND = f"""
These are the tables; the audio is on YouTube. ID_30.000_40.000.wav in a table is a clip: seconds 30 to 40 of
https://www.youtube.com/watch?v=ID. Save each one with a Y before its name in the folder of its table:

    {{data_dir}}/{AUDIO_FOLDERS["training"]}/YID_30.000_40.000.wav
    {{data_dir}}/{AUDIO_FOLDERS["testing"]}/...
    {{data_dir}}/{AUDIO_FOLDERS["evaluation"]}/...

https://github.com/{SCENES}
has a script for that, and tells of archives. Training leaves out, and lists, the clips that are missing.

"""
SONGS_BY_HAND = (
    "million_song cannot be downloaded, nobody may hand out its audio: if you have the previews, "
    "training/data/sources/million_song.py tells where to put them and how to make the tables from the files in "
    "MSD_split of "
    "https://github.com/jongpillee/music_dataset_split"
)


@dataclass(frozen=True)
class Dataset:
    """What is downloaded, and what becomes of it."""

    tables: tuple[RemoteFile, ...] = ()  # kept as they are
    archive: tuple[RemoteFile, ...] = ()  # the pieces of one archive
    unpack_to: str = "."  # folder in DATA_DIR
    unpacked_bytes: int = 0  # at most
    by_hand: str = ""  # what is left to the user

    @property
    def files(self) -> tuple[RemoteFile, ...]:
        return self.tables + self.archive


# Checksums: those in torchaudio for Speech Commands, in kapre for MagnaTagATune, in dcase_util for DCASE.
DATASETS = {
    "speech_commands": Dataset(
        archive=(
            RemoteFile(
                f"{SPEECH}/speech_commands_v0.02.tar.gz",
                2_428_923_189,
                "sha256:af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
            ),
        ),
        unpacked_bytes=4_000_000_000,  # 105,829 words of at most 32 kB, and noise
    ),
    "speech_commands_v0.01": Dataset(
        archive=(
            RemoteFile(
                f"{SPEECH}/speech_commands_v0.01.tar.gz",
                1_489_096_277,
                "sha256:743935421bb51cccdb6bdd152e04c5c70274e935c82119ad7faeec31780d811d",
            ),
        ),
        unpacked_bytes=2_500_000_000,  # 64,727 words
    ),
    "magnatagatune": Dataset(
        tables=(RemoteFile(f"{MUSIC}/annotations_final.csv", 21_517_373, "md5:f04fa01752a8cc64f6e1ca142a0fef1d"),),
        archive=(
            RemoteFile(f"{MUSIC}/mp3.zip.001", 1_100_000_000, "md5:179c91c8c2a6e9b3da3d4e69d306fd3b"),
            RemoteFile(f"{MUSIC}/mp3.zip.002", 1_100_000_000, "md5:acf8265ff2e35c6ff22210e46457a824"),
            RemoteFile(f"{MUSIC}/mp3.zip.003", 772_769_864, "md5:582dc649cabb8cd991f09e14b99349a5"),
        ),
        unpack_to="mp3",
        unpacked_bytes=4_000_000_000,  # 25,863 clips of about 116 kB
    ),
    "dcase2017": Dataset(
        tables=(
            RemoteFile(
                f"{SCENES_DEVELOPMENT}/groundtruth_weak_label_training_set.csv",
                2_942_866,
                "md5:1a98a76221fa5b5a85aaee9dbf02a2bf",
            ),
            RemoteFile(
                f"{SCENES_DEVELOPMENT}/groundtruth_weak_label_testing_set.csv",
                34_199,
                "md5:b742b4d6517c82595e09a65d470ff811",
            ),
            RemoteFile(
                f"{SCENES_EVALUATION}/groundtruth_release/groundtruth_weak_label_evaluation_set.csv", 75_925, None
            ),
        ),
        by_hand=SCENES_BY_HAND,
    ),
    "million_song": Dataset(by_hand=SONGS_BY_HAND),
}


def download(name: str, data_dir: Path) -> None:
    """Make `data_dir` hold the data set `name`, a key of `DATASETS`; if it does already, nothing is downloaded.

    Raises:
        DataError: it cannot be downloaded at all, `data_dir` or `DATA_DIR.download` is in use, the disk is too small,
            or whatever `fetch` and `unpack` find wrong.
    """
    dataset = DATASETS[name]
    if not dataset.files:
        raise DataError(dataset.by_hand)
    data_dir = data_dir.resolve()
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(data_dir.parent / f".{data_dir.name}.lock")
    try:
        held = lock.acquire(timeout=0)
    except Timeout:
        print(f"waiting for another process that makes {data_dir}", flush=True)
        held = lock.acquire()
    with held:
        work = Path(f"{data_dir}.download")
        if not _is_complete(name, data_dir):
            claim(work, MARK, "Made by training/download.py, which removes it when the data set is complete.\n")
            _make(name, data_dir, work)
        remove_claimed(work, MARK)


def _is_complete(name: str, data_dir: Path) -> bool:
    """Raises `DataError` if `data_dir` holds something else, or cannot be made."""
    record = data_dir / RECORD
    if record.is_file():
        try:
            found = json.loads(record.read_bytes())["data_set"]
        except (ValueError, LookupError, TypeError):
            found = "something else"
        if found != name:
            raise DataError(f"{data_dir} holds {found}: choose another folder for {name}")
        return True
    if data_dir.is_file() or data_dir.is_dir() and any(data_dir.iterdir()):
        raise DataError(f"{data_dir} is in use and was not made by this command: choose a new folder")
    if data_dir.is_mount():  # nothing can be renamed to it
        raise DataError(f"{data_dir} is a mount point: choose a folder in it")
    return False


def _make(name: str, data_dir: Path, work: Path) -> None:
    dataset = DATASETS[name]
    new = work / "new"
    if new.exists():  # of a process that was killed
        shutil.rmtree(new)
    _check_space(dataset, work)

    checksums = {}
    for table in dataset.tables:
        checksums |= fetch([table], work / table.name)
    if dataset.archive:
        archive = work / dataset.archive[0].name.removesuffix(".001")
        checksums |= fetch(dataset.archive, archive)
        unpack(archive, new / dataset.unpack_to, dataset.unpacked_bytes)
    new.mkdir(exist_ok=True)
    for table in dataset.tables:
        shutil.copyfile(work / table.name, new / table.name)
    for file in dataset.files:
        if file.checksum is None:
            print(f"{file.name} is unverified, no checksum of it is known: this copy has {checksums[file.url]}")
    (new / RECORD).write_text(json.dumps({"data_set": name, "files": checksums}, indent=2) + "\n")
    if data_dir.is_dir():  # empty
        data_dir.rmdir()
    new.rename(data_dir)


def _check_space(dataset: Dataset, work: Path) -> None:
    arrived = sum(path.stat().st_size for path in work.iterdir() if path.name != MARK)
    needed = sum(file.num_bytes for file in dataset.files) - arrived + dataset.unpacked_bytes
    free = shutil.disk_usage(work).free
    if free < needed:
        raise DataError(
            f"{work.parent} has {free / 1e9:.1f} GB free where up to {needed / 1e9:.1f} GB are needed: make room or "
            "choose another folder"
        )


def main(argv: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_set", choices=DATASETS, help="see above")
    parser.add_argument("--data_dir", type=Path, required=True, help="folder to make")
    args = parser.parse_args(argv)
    with errors_in_one_line("run the same command again to resume"):
        download(args.data_set, args.data_dir)
    print(DATASETS[args.data_set].by_hand.format(data_dir=args.data_dir), end="")
    print(json.dumps({"data_set": args.data_set, "data_dir": str(args.data_dir)}))


if __name__ == "__main__":
    main()
