"""`samplecnn classify --engine ray`: many files on a cluster, by Ray Data."""

import sys
from collections.abc import Callable

from .engines import Answer
from .tables import parquet_schema

FILES_PER_BLOCK = 64  # what is repeated when a node fails


def run_on_ray(files: list[str], start: Callable[[], Answer], output: str, columns: list[str], gpus: bool) -> int:
    """
    Compute the rows of files on the nodes of a Ray cluster, and write them to a folder of Parquet files.

    Connects to the cluster of RAY_ADDRESS or `ray start`, or else starts one on this machine. The work of a node that
    fails is repeated on others.

    Args:
        files: Names of the audio files, which all nodes can read.
        start: Called by each worker: loads the model and returns its `Answer`.
        output: Folder to create, which all nodes can write to.
        columns: Names of the columns.
        gpus: Use one worker per GPU instead of one per CPU.

    Returns:
        The number of files that could not be read.

    Raises:
        ImportError: Ray or pyarrow is not installed.
        OSError: The folder exists, or OUTPUT.unfinished, where the files of an interrupted command are.
        RuntimeError: A worker failed.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ImportError("--engine ray needs Ray: pip install 'samplecnn-hf[ray]'") from error
    import fsspec
    import pyarrow.dataset

    storage, folder = fsspec.url_to_fs(output.rstrip("/"))
    unfinished = f"{folder}.unfinished"
    for place in (folder, unfinished):
        if storage.exists(place):
            raise OSError(f"{storage.unstrip_protocol(place)} exists already: remove it, or give another --output")
    schema = parquet_schema(columns)

    class Worker:
        def __init__(self):
            self.answer = start()

        def __call__(self, batch: dict) -> pyarrow.Table:
            rows = [row for rows in self.answer(batch["file"].tolist()) for row in rows]
            return pyarrow.Table.from_pylist(rows, schema)

    ray.init(ignore_reinit_error=True, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = sys.stderr.isatty()
    kind = "GPU" if gpus else "CPU"
    workers = ray.data.ActorPoolStrategy(min_size=1, max_size=max(1, int(ray.cluster_resources().get(kind, 1))))
    num_blocks = -(-len(files) // FILES_PER_BLOCK)
    data = ray.data.from_items([{"file": file} for file in files], override_num_blocks=num_blocks)
    data = data.map_batches(
        Worker, compute=workers, batch_size=FILES_PER_BLOCK, num_cpus=int(not gpus), num_gpus=int(gpus)
    )
    try:
        data.write_parquet(unfinished, filesystem=storage)
    except ray.exceptions.RayError as error:
        *_, last = filter(None, str(error).splitlines())
        raise RuntimeError(f"the workers failed: {last}") from error
    storage.mv(unfinished, folder, recursive=True)
    is_error = ~pyarrow.dataset.field("error").is_null()
    return pyarrow.dataset.dataset(folder, filesystem=storage).count_rows(filter=is_error)
