"""
Download the datasets of the paper, in the layouts that `training.data.sources` reads.

Files arrive in `DATA_DIR.download`, from where an interrupted download is resumed. `DATA_DIR` appears when all of them
are complete and verified.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from training.data.archive import unpack
from training.data.sources.dcase2017 import AUDIO_FOLDERS
from training.data.transfer import RemoteFile, fetch
from training.data.work_folder import MARKER, make_work_folder, remove_work_folder
from training.errors import DataError

RECORD = "download.json"  # in a complete DATA_DIR: the name of the dataset and the checksums of its files

SPEECH = "https://storage.googleapis.com/download.tensorflow.org/data"
MUSIC = "https://mirg.city.ac.uk/datasets/magnatagatune"
SCENES = "ankitshah009/Task-4-Large-scale-weakly-supervised-sound-event-detection-for-smart-cars"  # the organizers
SCENES_DEVELOPMENT = f"https://raw.githubusercontent.com/{SCENES}/0dd75f6445a54384d845490671d5dc6a163f617a"
SCENES_EVALUATION = f"https://raw.githubusercontent.com/{SCENES}/2127761812763b95f6c000a1a7db73992b489412"

SCENES_BY_HAND = f"""
These are the tables; the audio is on YouTube. ID_30.000_40.000.wav in a table is a clip: seconds 30 to 40 of
https://www.youtube.com/watch?v=ID. Prefix each file name with Y and save it in the folder of its table:

    {{data_dir}}/{AUDIO_FOLDERS["training"]}/YID_30.000_40.000.wav
    {{data_dir}}/{AUDIO_FOLDERS["testing"]}/...
    {{data_dir}}/{AUDIO_FOLDERS["evaluation"]}/...

https://github.com/{SCENES}
has a script for that, and describes archives. Clips that are missing are listed and left out of the training.

"""
SONGS_BY_HAND = (
    "million_song cannot be downloaded, its audio cannot be redistributed: if you have the previews, "
    "training/data/sources/million_song.py describes where to put them and how to make the tables from the files in "
    "MSD_split of https://github.com/jongpillee/music_dataset_split"
)


@dataclass(frozen=True)
class Download:
    """The published files of a dataset."""

    tables: tuple[RemoteFile, ...] = ()  # kept as they are
    archive: tuple[RemoteFile, ...] = ()  # the parts of one archive, which is unpacked
    unpack_to: str = "."  # folder in DATA_DIR for the contents of the archive
    unpacked_bytes: int = 0  # upper limit for the size of the unpacked archive
    by_hand: str = ""  # instructions for what cannot be downloaded

    @property
    def files(self) -> tuple[RemoteFile, ...]:
        return self.tables + self.archive


# The checksums are those in torchaudio (Speech Commands), kapre (MagnaTagATune) and dcase_util (DCASE).
DOWNLOADS = {
    "speech_commands": Download(
        archive=(
            RemoteFile(
                f"{SPEECH}/speech_commands_v0.02.tar.gz",
                2_428_923_189,
                "sha256:af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
            ),
        ),
        unpacked_bytes=4_000_000_000,  # 105,829 words of up to 32 kB, and noise
    ),
    "speech_commands_v0.01": Download(
        archive=(
            RemoteFile(
                f"{SPEECH}/speech_commands_v0.01.tar.gz",
                1_489_096_277,
                "sha256:743935421bb51cccdb6bdd152e04c5c70274e935c82119ad7faeec31780d811d",
            ),
        ),
        unpacked_bytes=2_500_000_000,  # 64,727 words
    ),
    "magnatagatune": Download(
        tables=(RemoteFile(f"{MUSIC}/annotations_final.csv", 21_517_373, "md5:f04fa01752a8cc64f6e1ca142a0fef1d"),),
        archive=(
            RemoteFile(f"{MUSIC}/mp3.zip.001", 1_100_000_000, "md5:179c91c8c2a6e9b3da3d4e69d306fd3b"),
            RemoteFile(f"{MUSIC}/mp3.zip.002", 1_100_000_000, "md5:acf8265ff2e35c6ff22210e46457a824"),
            RemoteFile(f"{MUSIC}/mp3.zip.003", 772_769_864, "md5:582dc649cabb8cd991f09e14b99349a5"),
        ),
        unpack_to="mp3",
        unpacked_bytes=4_000_000_000,  # 25,863 clips of about 116 kB
    ),
    "dcase2017": Download(
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
    "million_song": Download(by_hand=SONGS_BY_HAND),
}


def download(name: str, data_dir: Path) -> None:
    """Download the dataset `name`, a key of `DOWNLOADS`, to `data_dir`, unless it is there already.

    Raises:
        DataError: it cannot be downloaded at all, `data_dir` or `DATA_DIR.download` is in use, the disk is too small,
            or an error of `fetch` or `unpack`.
    """
    if not DOWNLOADS[name].files:
        raise DataError(DOWNLOADS[name].by_hand)
    data_dir = data_dir.resolve()
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(data_dir.parent / f".{data_dir.name}.lock")
    try:
        held = lock.acquire(timeout=0)
    except Timeout:
        print(f"waiting for another process that downloads {data_dir}", flush=True)
        held = lock.acquire()
    with held:
        work = Path(f"{data_dir}.download")
        if not _is_complete(name, data_dir):
            make_work_folder(work)
            _download_to(data_dir, name, work)
        remove_work_folder(work)


def _is_complete(name: str, data_dir: Path) -> bool:
    """Whether `data_dir` holds the dataset. Raises `DataError` if it is in use or cannot be created."""
    record = data_dir / RECORD
    if record.is_file():
        try:
            found = json.loads(record.read_bytes())["dataset"]
        except (ValueError, LookupError, TypeError):
            found = "something else"
        if found != name:
            raise DataError(f"{data_dir} holds {found}: choose another folder for {name}")
        return True
    if data_dir.is_file() or data_dir.is_dir() and any(data_dir.iterdir()):
        raise DataError(f"{data_dir} already contains files not created by this command: choose a new folder")
    if data_dir.is_mount():  # a folder cannot be renamed to it
        raise DataError(f"{data_dir} is a mount point: choose a folder in it")
    return False


def _download_to(data_dir: Path, name: str, work: Path) -> None:
    dataset = DOWNLOADS[name]
    complete = work / "complete"
    if complete.exists():  # left by a killed process
        shutil.rmtree(complete)
    _check_space(dataset, work)

    checksums = {}
    for table in dataset.tables:
        checksums |= fetch([table], work / table.name)
    if dataset.archive:
        archive = work / dataset.archive[0].name.removesuffix(".001")
        checksums |= fetch(dataset.archive, archive)
        unpack(archive, complete / dataset.unpack_to, dataset.unpacked_bytes)
    complete.mkdir(exist_ok=True)
    for table in dataset.tables:
        shutil.copyfile(work / table.name, complete / table.name)
    for file in dataset.files:
        if file.checksum is None:
            print(f"{file.name} is unverified, its checksum is not published: this copy has {checksums[file.url]}")
    (complete / RECORD).write_text(json.dumps({"dataset": name, "files": checksums}, indent=2) + "\n")
    if data_dir.is_dir():  # empty
        data_dir.rmdir()
    complete.rename(data_dir)


def _check_space(dataset: Download, work: Path) -> None:
    arrived = sum(path.stat().st_size for path in work.iterdir() if path.name != MARKER)
    needed = sum(file.num_bytes for file in dataset.files) - arrived + dataset.unpacked_bytes
    free = shutil.disk_usage(work).free
    if free < needed:
        raise DataError(
            f"{work.parent} has {free / 1e9:.1f} GB free where up to {needed / 1e9:.1f} GB are needed: make room or "
            "choose another folder"
        )
