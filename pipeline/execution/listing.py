"""Read the headers of photos in Ray tasks, one chunk in each task.

The tasks return the sizes, and the caller writes them. The manifest may therefore be a local file of the machine on
which the command runs, and a machine that fails loses only the chunks that it was reading.
"""

import math
from collections.abc import Generator, Iterator

import pyarrow as pa

from pipeline.execution.ray_tasks import cluster_cores, run_tasks
from pipeline.plan.headers import CHUNK_PHOTOS, photos_of_a_chunk, read_sizes
from pipeline.plan.rate_limit import TokenBucket

TASK_RATE = 50  # headers per second that one task reads from slow storage; a limited rate is shared by no more tasks


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
