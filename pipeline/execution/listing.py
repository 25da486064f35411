"""Read the headers of photos in Ray tasks, one chunk in each task.

The tasks return the sizes, and the caller writes them. The manifest may therefore be a local file of the machine on
which the command runs, and a machine that fails loses only the chunks that it was reading.
"""

import math
from collections.abc import Generator, Iterator
from contextlib import suppress

import pyarrow as pa
import ray

from pipeline.execution.ray_errors import run_stopped_error
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
        cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
        self.tasks = cores if rate is None else min(cores, math.ceil(rate / TASK_RATE))
        self.share = None if rate is None else rate / self.tasks
        self.photos = photos_of_a_chunk(self.share, photos)

    def __call__(self, chunks: Iterator[pa.Table]) -> Generator[pa.Table, None, None]:
        """Yield a table of `SIZES` for each table with the columns `VERSION`, in the order in which they finish.

        Raises:
            RunStoppedError: A task failed.
        """
        read = ray.remote(_read_chunk).options(num_cpus=1)
        running: list[ray.ObjectRef[pa.Table]] = []
        try:
            for chunk in chunks:
                if len(running) == self.tasks:
                    (finished,), running = ray.wait(running)
                    yield ray.get(finished)
                running.append(read.remote(chunk, self.share))
            while running:
                (finished,), running = ray.wait(running)
                yield ray.get(finished)
        except ray.exceptions.RayError as error:
            raise run_stopped_error(error) from error
        finally:
            with suppress(ray.exceptions.RayError):  # the error that ended the loop is more important
                for task in running:
                    ray.cancel(task)


def _read_chunk(chunk: pa.Table, rate: float | None) -> pa.Table:
    return read_sizes(chunk, TokenBucket(rate) if rate else None)
