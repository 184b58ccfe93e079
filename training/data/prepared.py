"""
Clips decoded once and for all: mono int16 at the network's rate, memory-mapped from Arrow files.

train-00000-<fingerprint>.arrow     up to SHARD_CLIPS clips of a split: a shard
train-report.csv                    the clips of the split that cannot be used, and why

A shard's name tells what it was made from: the audio files and their dates, the labels, the rate. A shard under its
name is made again only if it is damaged, and one whose files have changed is missing: so a stale preparation is
noticed, and a killed one is resumed. `datasets.load_dataset("arrow", data_files=...)` reads the shards, too.
"""

import csv
import hashlib
import io
import os
import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import soundfile
from datasets import Dataset, Features, List, Value, concatenate_datasets
from filelock import FileLock
from tqdm import tqdm

from samplecnn_hf import SampleCNNFeatureExtractor
from training.data.source import Clip, Source
from training.errors import DataError
from training.loop.hardware import num_cores

FORMAT = 2  # of the shards; raise it when what is written changes
SHARD_CLIPS = 256
PCM16 = 2**15
FEATURES = Features(
    {
        "file": Value("string"),
        "labels": List(Value("int32")),
        "pcm": List(Value("int16")),
        "num_samples": Value("int64"),
        "source_rate": Value("int32"),  # of the file, in Hz; 0 where it cannot be read
        "problem": Value("string"),  # null where the clip can be used
    }
)
_SHARD_NAME = re.compile(r".+-\d{5,}-[0-9a-f]{16}\.arrow(\.new)?")  # the files that may be removed


class PreparedClips(Sequence):
    """The usable clips of a split: item i is int16 (samples,), a view of the file on disk.

    Attributes:
        files: the path of each clip.
        num_samples: of each clip, int64 [clips].
        labels: indices of the labels of each clip.
        source_rates: sampling rates of the audio files in Hz, each one once, sorted.
    """

    def __init__(self, dataset: Dataset):
        problems = dataset["problem"][:]
        if any(problems):
            dataset = dataset.select([i for i, problem in enumerate(problems) if problem is None])
        self.files: list[str] = dataset["file"][:]
        self.num_samples = np.array(dataset["num_samples"][:], dtype=np.int64)
        self.labels: list[list[int]] = dataset["labels"][:]
        self.source_rates: list[int] = sorted(set(dataset["source_rate"][:]))
        self._dataset = dataset.with_format("arrow")

    def __len__(self) -> int:
        return len(self.num_samples)

    def __getitem__(self, i: int) -> np.ndarray:
        return self._dataset[int(i)]["pcm"].chunk(0).values.to_numpy(zero_copy_only=True)


@dataclass(frozen=True)
class _Shard:
    path: Path
    clips: Sequence[Clip]
    min_seconds: float


def prepared_folder(source: Source, sampling_rate: int, cache_dir: str | None = None) -> Path:
    """The folder of a data set's shards: below `cache_dir`, by default below the cache of `datasets`."""
    root = Path(cache_dir) if cache_dir else Path(datasets.config.HF_DATASETS_CACHE) / "samplecnn"
    place = os.path.abspath(source.data_dir) if os.path.exists(source.data_dir) else source.data_dir  # Hub id
    digest = hashlib.sha256(os.fsencode(place)).hexdigest()[:8]
    return root / f"{source.name}-{sampling_rate}-{digest}"


def prepare(
    source: Source,
    sampling_rate: int,
    cache_dir: str | None = None,
    splits: Collection[str] | None = None,
    quiet: bool = False,
) -> dict[str, PreparedClips]:
    """
    Decode what is not yet prepared of `source`, in parallel and with bounded memory, and open it.

    Clips that cannot be decoded or are too short are listed in `<split>-report.csv`; they never stop the preparation.
    Damaged shards are made again. Several processes may call it at once: one works, the others wait for it.

    Args:
        source: the clips; its background noise becomes one more split, "background_noise".
        sampling_rate: of the network, in Hz.
        cache_dir: folder for prepared data sets; by default below the cache of `datasets`. In the data set's folder
            only outdated shards, known by their names, are removed.
        splits: those to prepare; all of them, and the background noise, unless given.
        quiet: no word on the report.

    Returns:
        The usable clips of each split.

    Raises:
        DataError: not one usable clip in a split; a file that cannot be written or may not be read.
    """
    folder = prepared_folder(source, sampling_rate, cache_dir)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        shards = _plan(source, sampling_rate, folder)
        wanted = {shard.path for group in shards.values() for shard in group}
        for path in folder.iterdir():
            if path not in wanted and _SHARD_NAME.fullmatch(path.name):
                path.unlink()
        shards = {split: group for split, group in shards.items() if splits is None or split in splits}
        missing = [shard for group in shards.values() for shard in group if not _is_sound(shard)]
        _write_shards(missing, sampling_rate)
        prepared = {
            split: concatenate_datasets([Dataset.from_file(str(shard.path)) for shard in group])
            for split, group in shards.items()
        }
        for split, dataset in prepared.items():
            _report(split, dataset, folder / f"{split}-report.csv", quiet)
    return {split: PreparedClips(dataset) for split, dataset in prepared.items()}


def _plan(source: Source, sampling_rate: int, folder: Path) -> dict[str, list[_Shard]]:
    def cut(split: str, clips: Sequence[Clip], min_seconds: float) -> list[_Shard]:
        groups = [clips[i : i + SHARD_CLIPS] for i in range(0, len(clips), SHARD_CLIPS)]
        names = [_fingerprint(group, (FORMAT, sampling_rate, min_seconds)) for group in groups]
        paths = [folder / f"{split}-{i:05d}-{name}.arrow" for i, name in enumerate(names)]
        return [_Shard(path, group, min_seconds) for path, group in zip(paths, groups, strict=True)]

    shards = {split: cut(split, clips, source.min_seconds) for split, clips in source.splits.items()}
    if source.background_noise:
        shards["background_noise"] = cut("background_noise", [Clip(path, ()) for path in source.background_noise], 0.0)
    return shards


def _fingerprint(clips: Iterable[Clip], settings: tuple) -> str:
    digest = hashlib.sha256(repr(settings).encode())
    for clip in clips:
        digest.update(repr((str(clip.path), clip.stamp(), clip.labels)).encode())
    return digest.hexdigest()[:16]


def _is_sound(shard: _Shard) -> bool:
    """Is the shard there, and what was written? All is compared but the samples themselves: they are too many."""
    if not shard.path.is_file():
        return False
    try:
        with pa.memory_map(str(shard.path)) as file, pa.ipc.open_stream(file) as stream:
            table = stream.read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError):
        return False
    if not table.schema.equals(FEATURES.arrow_schema, check_metadata=True):
        return False
    columns = {name: table[name].to_pylist() for name in FEATURES if name != "pcm"}
    lengths = pc.list_value_length(table["pcm"]).to_pylist()
    complete = all(
        problem is not None or length == num_samples
        for problem, length, num_samples in zip(columns["problem"], lengths, columns["num_samples"], strict=True)
    )
    labels = [list(clip.labels) for clip in shard.clips]
    return (
        complete and columns["labels"] == labels and columns["file"] == [_to_utf8(clip.path) for clip in shard.clips]
    )


def _write_shards(shards: list[_Shard], sampling_rate: int):
    extractor = SampleCNNFeatureExtractor(sampling_rate=sampling_rate)
    total = sum(len(shard.clips) for shard in shards)
    with (
        ThreadPoolExecutor(num_cores()) as pool,
        tqdm(total=total, desc="prepare", unit="clip", disable=not shards) as progress,
    ):
        for shard in shards:
            with (
                _write_whole(shard.path) as temporary,
                pa.OSFile(str(temporary), "wb") as file,
                pa.ipc.new_stream(file, FEATURES.arrow_schema) as stream,
            ):
                for clip, (pcm, source_rate, problem) in _decode_in_parallel(pool, shard.clips, extractor):
                    if problem is None and len(pcm) <= shard.min_seconds * sampling_rate:
                        problem = f"not longer than {shard.min_seconds} s: {len(pcm) / sampling_rate:.2f} s"
                    stream.write_batch(_to_batch(clip, pcm, source_rate, problem))
                    progress.update()


@contextmanager
def _write_whole(path: Path) -> Iterator[Path]:
    """A temporary name for a file, which becomes `path` when the block ends well, and is removed otherwise."""
    temporary = path.with_name(f"{path.name}.new")
    try:
        temporary.unlink(missing_ok=True)  # of a process that was killed; were it a link, it would be followed
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise DataError(f"cannot make {path}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _decode_in_parallel(pool: ThreadPoolExecutor, clips: Iterable[Clip], extractor) -> Iterator[tuple]:
    """(clip, what `decode` says of it), in order; a few clips ahead, so that memory stays bounded."""
    ahead = deque()
    for clip in clips:
        ahead.append((clip, pool.submit(decode, clip, extractor)))
        if len(ahead) > 2 * num_cores():
            first, future = ahead.popleft()
            yield first, future.result()
    for clip, future in ahead:
        yield clip, future.result()


def decode(clip: Clip, extractor: SampleCNNFeatureExtractor) -> tuple[np.ndarray, int, str | None]:
    """A clip -> int16 (samples,) at the extractor's rate, the file's own rate in Hz, and what is wrong, or None.

    libsndfile and soxr work outside Python's lock, so threads decode in parallel. Raises `OSError` for what is not the
    file's fault, such as a permission that is missing: it would be remembered as long as the file stays the same.
    """
    try:
        content = clip.content()
        waveform = extractor.to_waveform(content)
        source_rate = _read_rate(content)
    except FileNotFoundError:
        return np.empty(0, np.int16), 0, "is missing"
    except ValueError as error:
        return np.empty(0, np.int16), 0, str(error).removeprefix(f"{str(clip.path)!r} ")
    waveform *= PCM16
    return np.clip(np.rint(waveform, out=waveform), -PCM16, PCM16 - 1).astype(np.int16), source_rate, None


def _read_rate(content: Path | bytes) -> int:
    with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
        # Without the file's name: soundfile would take the suffix .raw at its word.
        return soundfile.info(SimpleNamespace(read=file.read, seek=file.seek, tell=file.tell)).samplerate


def _to_utf8(path: Path) -> str:
    return str(path).encode("utf-8", "backslashreplace").decode()


def _to_batch(clip: Clip, pcm: np.ndarray, source_rate: int, problem: str | None) -> pa.RecordBatch:
    """One row. A clip of its own in each batch is what lets a slice of it be read without copying."""

    def single_list(values, dtype) -> pa.ListArray:
        return pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), pa.array(values, dtype))

    columns = {
        "file": pa.array([_to_utf8(clip.path)]),
        "labels": single_list(clip.labels, pa.int32()),
        "pcm": single_list(pcm if problem is None else pcm[:0], pa.int16()),
        "num_samples": pa.array([len(pcm)], pa.int64()),
        "source_rate": pa.array([source_rate], pa.int32()),
        "problem": pa.array([problem], pa.string()),
    }
    return pa.record_batch([columns[name] for name in FEATURES], schema=FEATURES.arrow_schema)


def _report(split: str, dataset: Dataset, path: Path, quiet: bool):
    """List the clips with a problem in a table, and say how many there are. Raises `DataError` if no clip is left."""
    rows = zip(dataset["file"][:], dataset["problem"][:], strict=True)
    problems = [(file, problem) for file, problem in rows if problem is not None]
    with _write_whole(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as table:
        csv.writer(table).writerows([("file", "problem"), *problems])
    if not problems:
        return
    first = f"{problems[0][0]} ({problems[0][1]})"
    if len(problems) == len(dataset):
        raise DataError(
            f"not one of the {len(dataset):,} {split} clips can be used, the first of all: {first}; is all of the "
            "audio there?"
        )
    if not quiet:
        print(f"warning: left out {len(problems):,} of {len(dataset):,} {split} clips, the first: {first}; see {path}")
