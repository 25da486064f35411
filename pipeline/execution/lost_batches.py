"""Count the batches that a flow loses, and stop a flow that loses all of them.

If a process dies, Ray repeats its task a limited number of times. Then Ray Data drops the batch of the task, logs the
error, and continues (`DataContext.max_errored_blocks`). The rows of the batch do not arrive.
`pipeline.execution.isolation` processes them again, one at a time.
"""

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import WorkersFailedError
from pipeline.execution.ray_errors import describe_ray_error

MOST_IN_A_ROW = 32  # batches that may be lost while none arrives
_LOGGER = "ray.data._internal.execution.streaming_executor_state"  # logs each dropped batch, with its exception


class LostBatches(logging.Handler):
    """Counts the dropped batches from the log of Ray Data, which has no other way to report them.

    Args:
        limit: The number of batches that may be dropped while none arrives. None is no limit.

    Attributes:
        count: The number of dropped batches.
    """

    def __init__(self, limit: int | None) -> None:
        super().__init__(logging.ERROR)
        self.count = 0
        self._limit = limit
        self._in_a_row = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Count a dropped batch. Raises `WorkersFailedError` in the scheduler of Ray Data, which passes it on."""
        error = record.exc_info[1] if record.exc_info else None
        if error is None or isinstance(error, WorkersFailedError):
            return
        self.count += 1
        self._in_a_row += 1
        if self._limit is not None and self._in_a_row > self._limit:
            reason = describe_ray_error(error)
            raise WorkersFailedError(f"run: {self._in_a_row} batches failed one after the other; the last: {reason}")

    def arrived(self) -> None:
        """Note that a batch arrived."""
        self._in_a_row = 0


@contextmanager
def count_lost_batches(limit: int | None) -> Iterator[LostBatches]:
    """Count the batches that are dropped in the context.

    Args:
        limit: The number of batches that may be dropped while none arrives. None is no limit.
    """
    logger, lost = logging.getLogger(_LOGGER), LostBatches(limit)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(lost)
    logger.setLevel(logging.ERROR)
    logger.propagate = logging.getLogger("ray.data").isEnabledFor(logging.INFO)  # with --verbose
    try:
        yield lost
    finally:
        logger.removeHandler(lost)
        logger.setLevel(level)
        logger.propagate = propagate
        if lost.count:
            gc.collect()  # the logged exceptions are in reference cycles, which keep the processes with models alive
