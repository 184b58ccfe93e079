"""
A cache of decoded clips: mono int16 at the network's sampling rate, memory-mapped from Arrow files.

train-00000-<fingerprint>.arrow     a shard: up to SHARD_CLIPS clips of a split
train-report.csv                    the clips of the split that cannot be used, and why

The fingerprint in a shard's name covers the audio files and their dates, the labels and the sampling rate. So outdated
shards are detected, and an interrupted preparation is resumed: only missing and damaged shards are written.
`datasets.load_dataset("arrow", data_files=...)` can read the shards.
"""

import csv
import hashlib
import os
import re
import shutil
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, Features, List, Value, concatenate_datasets
from filelock import FileLock
from tqdm import tqdm

from samplecnn_hf import SampleCNNFeatureExtractor
from samplecnn_hf.audio_samplecnn import read_sampling_rate
from samplecnn_hf.files import replace_when_complete
from training.data.source import Clip, Source
from training.errors import DataError

FORMAT = 2  # version of the shards; increase it when their contents change
SHARD_CLIPS = 256
PCM16 = 2**15
FEATURES = Features(
    {
        "file": Value("string"),
        "labels": List(Value("int32")),
        "pcm": List(Value("int16")),
        "num_samples": Value("int64"),
        "source_rate": Value("int32"),  # sampling rate of the file in Hz; 0 if it cannot be read
        "problem": Value("string"),  # null if the clip can be used
    }
)
_SHARD_NAME = re.compile(r".+-\d{5,}-[0-9a-f]{16}\.arrow")  # files that may be removed


class PreparedClips(Sequence):
    """The usable clips of a split. Item i is int16 (samples,), a view of the memory-mapped shard.

    Attributes:
        files: path of each clip.
        num_samples: number of samples of each clip, int64 [clips].
        labels: label indices of each clip.
        source_rates: the distinct sampling rates of the audio files in Hz, sorted.
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


def num_cores() -> int:
    """Number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def prepared_folder(source: Source, sampling_rate: int, cache_dir: str | None = None) -> Path:
    """Folder of the shards of a dataset, in `cache_dir` (None: in the cache of `datasets`)."""
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
    Decode the clips that are not in the cache yet, in parallel and with bounded memory, and open the cache.

    Clips that cannot be decoded or are too short are left out and listed in `<split>-report.csv`. Damaged shards are
    written again. Several processes may call this at once: one works while the others wait.

    Args:
        source: the clips; its background noise becomes an additional split, "background_noise".
        sampling_rate: sampling rate of the network in Hz.
        cache_dir: folder for prepared datasets (None: in the cache of `datasets`). Outdated and unfinished shards are
            removed from it, but no other files.
        splits: the splits to prepare (None: all, and the background noise).
        quiet: print no warning about clips that are left out.

    Returns:
        The usable clips of each split.

    Raises:
        DataError: a split without usable clips, a file that cannot be written, or one without permission to read.
    """
    folder = prepared_folder(source, sampling_rate, cache_dir)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        shards = _plan(source, sampling_rate, folder)
        wanted = {shard.path for group in shards.values() for shard in group}
        for path in folder.iterdir():
            if path not in wanted and _SHARD_NAME.fullmatch(path.name):
                path.unlink()
        for unfinished in folder.glob(".*.unfinished"):  # left by a killed process
            shutil.rmtree(unfinished)
        shards = {split: group for split, group in shards.items() if splits is None or split in splits}
        missing = [shard for group in shards.values() for shard in group if not _is_intact(shard)]
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


def _is_intact(shard: _Shard) -> bool:
    """Whether the shard exists and holds the expected clips. Everything but the samples is checked: that is fast."""
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
    complete = pc.equal(pc.list_value_length(table["pcm"]), table["num_samples"])
    if not pc.all(pc.or_(complete, pc.is_valid(table["problem"])), skip_nulls=False).as_py():
        return False
    expected = [{"file": _to_utf8(clip.path), "labels": list(clip.labels)} for clip in shard.clips]
    return table.select(["file", "labels"]).to_pylist() == expected


def _write_shards(shards: list[_Shard], sampling_rate: int):
    extractor = SampleCNNFeatureExtractor(sampling_rate=sampling_rate)
    total = sum(len(shard.clips) for shard in shards)
    with (
        ThreadPoolExecutor(num_cores()) as pool,
        tqdm(total=total, desc="prepare", unit="clip", disable=None if shards else True) as progress,
    ):
        for shard in shards:
            with (
                _writing(shard.path) as temporary,
                pa.OSFile(str(temporary), "wb") as file,
                pa.ipc.new_stream(file, FEATURES.arrow_schema) as stream,
            ):
                for clip, (pcm, source_rate, problem) in _decode_in_parallel(pool, shard.clips, extractor):
                    if problem is None and len(pcm) <= shard.min_seconds * sampling_rate:
                        problem = f"not longer than {shard.min_seconds} s: {len(pcm) / sampling_rate:.2f} s"
                    stream.write_batch(_to_batch(clip, pcm, source_rate, problem))
                    progress.update()


@contextmanager
def _writing(path: Path) -> Iterator[Path]:
    """`replace_when_complete`, with `DataError` for `OSError`."""
    try:
        with replace_when_complete(path) as temporary:
            yield temporary
    except OSError as error:
        raise DataError(f"cannot write {path}: {error}") from error


def _decode_in_parallel(pool: ThreadPoolExecutor, clips: Iterable[Clip], extractor) -> Iterator[tuple]:
    """Each clip with its result of `decode`, in order. Few clips are decoded in advance, to limit memory."""
    ahead = deque()
    for clip in clips:
        ahead.append((clip, pool.submit(decode, clip, extractor)))
        if len(ahead) > 2 * num_cores():
            first, future = ahead.popleft()
            yield first, future.result()
    for clip, future in ahead:
        yield clip, future.result()


def decode(clip: Clip, extractor: SampleCNNFeatureExtractor) -> tuple[np.ndarray, int, str | None]:
    """Decode and resample one clip. libsndfile and soxr release the GIL, so threads run in parallel.

    Returns:
        int16 (samples,) at the extractor's sampling rate, sampling rate of the file in Hz, and the problem or None.

    Raises:
        DataError: an error outside the file, such as a missing permission. It is not stored in the shard, because it
            can go away while the file stays the same.
    """
    try:
        content = clip.content()
        waveform = extractor.to_waveform(content)
        source_rate = read_sampling_rate(content)
    except FileNotFoundError:
        return np.empty(0, np.int16), 0, "is missing"
    except OSError as error:
        raise DataError(f"cannot read {clip.path}: {error.strerror or error}") from error
    except ValueError as error:
        return np.empty(0, np.int16), 0, str(error).removeprefix(f"{str(clip.path)!r} ")
    waveform *= PCM16
    return np.clip(np.rint(waveform, out=waveform), -PCM16, PCM16 - 1).astype(np.int16), source_rate, None


def _to_utf8(path: Path) -> str:
    return str(path).encode("utf-8", "backslashreplace").decode()


def _to_batch(clip: Clip, pcm: np.ndarray, source_rate: int, problem: str | None) -> pa.RecordBatch:
    """One row per record batch, so that the samples of a clip can be read without copying."""
    row = {
        "file": _to_utf8(clip.path),
        "labels": clip.labels,
        "pcm": pcm if problem is None else pcm[:0],
        "num_samples": len(pcm),
        "source_rate": source_rate,
        "problem": problem,
    }
    return pa.RecordBatch.from_pylist([row], FEATURES.arrow_schema)


def _report(split: str, dataset: Dataset, path: Path, quiet: bool):
    """Write the clips with a problem to a table and warn about them. Raises `DataError` if no clip can be used."""
    rows = zip(dataset["file"][:], dataset["problem"][:], strict=True)
    problems = [(file, problem) for file, problem in rows if problem is not None]
    with _writing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as table:
        csv.writer(table).writerows([("file", "problem"), *problems])
    if not problems:
        return
    first = f"{problems[0][0]} ({problems[0][1]})"
    if len(problems) == len(dataset):
        raise DataError(
            f"none of the {len(dataset):,} {split} clips can be used, for example {first}: check that the audio is "
            "complete"
        )
    if not quiet:
        print(f"warning: left out {len(problems):,} of {len(dataset):,} {split} clips, such as {first}: see {path}")
