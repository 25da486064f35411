"""List the subfolders of a bucket, and read the headers of photos, in Ray tasks.

The tasks that read headers return the sizes, and the caller writes them. The manifest may therefore be a local file of
the machine on which the command runs, and a machine that fails loses only the chunks that it was reading.
"""

import math
from collections.abc import Generator, Iterator
from dataclasses import replace

import pyarrow as pa
import ray
import ray.data

from pipeline import storage
from pipeline.execution.pools import Budget, configure_ray_data
from pipeline.execution.ray_errors import run_stopped_error
from pipeline.execution.ray_tasks import cluster_cores, run_tasks
from pipeline.plan.headers import CHUNK_PHOTOS, photos_of_a_chunk, read_sizes
from pipeline.plan.rate_limit import TokenBucket
from pipeline.storage.entries import Entry, Page
from pipeline.storage.walk import list_level, walk_files
from schemas.arrow import to_rows, to_table

MOST_BLOCKS = 1000  # blocks of subfolders; one task lists the subfolders of a block one after the other
TASK_RATE = 50  # headers per second that one task reads from slow storage; a limited rate is shared by no more tasks


def walk_on_ray(folder: str, skip: str = "") -> Iterator[Page]:
    """List the files in a folder and its subfolders, each subfolder in a task of the connected Ray cluster.

    A local folder is listed by this process, because other machines may not have it.

    Args:
        folder: The address of the folder.
        skip: The path of a subfolder that is not listed, relative to the folder. Empty for none.

    Raises:
        RunStoppedError: A subfolder cannot be listed.
        StorageError: The folder cannot be listed.
    """
    if storage.local_path(folder) is not None:
        yield from walk_files(folder, skip)
        return
    subfolders: list[dict[str, str]] = []
    for page, names in list_level(folder):
        yield page
        subfolders += [{"subfolder": name} for name in names if name not in {skip, ""}]
        if "" in names:  # of keys with two slashes after the folder, such as `photos//a.jpg`
            yield from ([each for each in found if each.name.startswith("/")] for found in walk_files(folder, skip))
    if not subfolders:
        return
    configure_ray_data(Budget())
    blocks = ray.data.from_items(subfolders, override_num_blocks=min(len(subfolders), MOST_BLOCKS))
    tables = blocks.map_batches(_SubfolderLister(folder, skip), batch_size=1, batch_format="pyarrow")
    try:
        for table in tables.iter_batches(batch_size=None, batch_format="pyarrow"):
            yield to_rows(table, Entry)
    except ray.exceptions.RayError as error:
        raise run_stopped_error(error) from error


class _SubfolderLister:
    """Lists subfolders of a folder."""

    def __init__(self, folder: str, skip: str) -> None:
        self._folder, self._skip = folder, skip

    def __call__(self, names: pa.Table) -> Iterator[pa.Table]:
        """Yield a table of entries for each page of files."""
        for name in names["subfolder"].to_pylist():
            skip = self._skip.removeprefix(f"{name}/") if self._skip.startswith(f"{name}/") else ""
            for page in walk_files(storage.join(self._folder, name), skip):
                yield to_table([replace(entry, name=f"{name}/{entry.name}") for entry in page], Entry)


class RayReader:
    """Reads the headers in tasks of the connected Ray cluster.

    With a rate limit, the tasks that run at the same time have equal shares of it.

    Args:
        rate: The largest number of headers that all tasks read per second. None for no limit.
        photos: The number of photos in a chunk.
    """

    def __init__(self, rate: float | None = None, photos: int = CHUNK_PHOTOS) -> None:
        cores = cluster_cores()
        self.tasks = cores if rate is None else min(cores, math.ceil(rate / TASK_RATE))
        self.share = None if rate is None else rate / self.tasks
        self.photos = photos_of_a_chunk(self.share, photos)

    def __call__(self, chunks: Iterator[pa.Table]) -> Generator[pa.Table, None, None]:
        """Yield a table of `SIZES` for each table with the columns `VERSION`, in the order in which they finish.

        Raises:
            RunStoppedError: A task failed.
        """
        return run_tasks(_read_chunk, ((chunk, self.share) for chunk in chunks), self.tasks)


def _read_chunk(chunk: pa.Table, rate: float | None) -> pa.Table:
    return read_sizes(chunk, TokenBucket(rate) if rate else None)
