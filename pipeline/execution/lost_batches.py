"""Count the batches that a flow loses, and end a flow that loses many of them one after the other.

If a process dies, Ray repeats its task a limited number of times. Then Ray Data drops the batch of the task, logs the
error, and continues (`DataContext.max_errored_blocks`). The rows of the batch do not arrive.
`pipeline.execution.isolation` processes them again, one at a time.
"""

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.execution.ray_errors import describe_ray_error

MOST_IN_A_ROW = 32  # batches that may be lost while none arrives
_LOGGER = "ray.data._internal.execution.streaming_executor_state"  # logs each dropped batch, with its exception


class LostBatchesError(Exception):
    """More than `MOST_IN_A_ROW` batches were lost one after the other."""


class LostBatches(logging.Handler):
    """Counts the dropped batches from the log of Ray Data, which has no other way to report them.

    Args:
        limited: Whether to end the flow after `MOST_IN_A_ROW` batches.

    Attributes:
        count: The number of dropped batches.
    """

    def __init__(self, *, limited: bool) -> None:
        super().__init__(logging.ERROR)
        self.count = 0
        self._limited = limited
        self._in_a_row = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Count a dropped batch. Raises `LostBatchesError` in the scheduler of Ray Data, which passes it on."""
        error = record.exc_info[1] if record.exc_info else None
        if error is None or isinstance(error, LostBatchesError):
            return
        self.count += 1
        self._in_a_row += 1
        if self._limited and self._in_a_row > MOST_IN_A_ROW:
            reason = describe_ray_error(error)
            raise LostBatchesError(f"{self._in_a_row} batches were lost one after the other; the last: {reason}")

    def arrived(self) -> None:
        """Note that a batch arrived."""
        self._in_a_row = 0


@contextmanager
def count_lost_batches(*, limited: bool) -> Iterator[LostBatches]:
    """Count the batches that are dropped in the context.

    Args:
        limited: Whether to end the flow after `MOST_IN_A_ROW` batches.
    """
    logger, lost = logging.getLogger(_LOGGER), LostBatches(limited=limited)
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
