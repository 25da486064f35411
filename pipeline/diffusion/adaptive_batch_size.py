"""The number of images that are generated at once, which is reduced while memory is short."""

import torch
from accelerate.utils.memory import should_reduce_batch_size

BATCHES_BEFORE_GROWTH = 16
"""Successful batches before the size grows. This number doubles when the first batch after a growth fails."""

# Messages of CUDA, its driver, Triton, cuBLAS and cuDNN that accelerate does not recognize.
_OUT_OF_MEMORY_MESSAGES = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")


class AdaptiveBatchSize:
    """A batch size that is halved when memory runs out, and doubled again after many successful batches.

    The size grows again because another program may have used the memory only temporarily.

    Args:
        maximum: The largest and first batch size.

    Attributes:
        current: The current batch size.
    """

    def __init__(self, maximum: int) -> None:
        self.restart(maximum)

    def restart(self, maximum: int) -> None:
        """Set a new maximum, and start with it."""
        self.current = maximum
        self._maximum = maximum
        self._batches_before_growth = BATCHES_BEFORE_GROWTH
        self._successes = 0
        self._has_just_grown = False

    def shrink(self) -> bool:
        """Halve the size. Returns False if it is 1 already."""
        if self.current == 1:
            return False
        if self._has_just_grown:
            self._batches_before_growth *= 2
            self._has_just_grown = False
        self.current //= 2
        self._successes = 0
        return True

    def count_success(self) -> None:
        """Count a successful batch. After enough of them, double the size up to the maximum."""
        self._successes += 1
        self._has_just_grown = False
        if self.current < self._maximum and self._successes >= self._batches_before_growth:
            self.current = min(self._maximum, self.current * 2)
            self._successes = 0
            self._has_just_grown = True


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether PyTorch, or a library that it calls, raised this error because memory ran out."""
    if isinstance(error, torch.OutOfMemoryError) or should_reduce_batch_size(error):
        return True
    return any(message in str(error) for message in _OUT_OF_MEMORY_MESSAGES)
