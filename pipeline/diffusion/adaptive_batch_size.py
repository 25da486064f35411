"""How many pictures are drawn at once: as many as the recipe says, fewer where memory does not suffice."""

import torch
from accelerate.utils.memory import should_reduce_batch_size

BATCHES_BEFORE_GROWTH = (
    16  # batches that must go well before a larger one is tried again; twice as many after each that fails
)
# What accelerate does not know of: the words of CUDA, its driver and Triton, of cuBLAS and of cuDNN.
_NO_MEMORY = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")


class AdaptiveBatchSize:
    """Halved when memory runs out, kept, and cautiously raised again: another program may have been the reason."""

    def __init__(self, wanted: int) -> None:
        self.restart(wanted)

    def restart(self, wanted: int) -> None:
        """Begin anew with another size."""
        self.now = wanted
        self._wanted = wanted
        self._patience = BATCHES_BEFORE_GROWTH
        self._well = 0
        self._raised = False

    def ran_out(self) -> bool:
        """Halve; return False where there is nothing left to halve."""
        if self.now == 1:
            return False
        if self._raised and not self._well:  # that was too early
            self._patience *= 2
        self.now //= 2
        self._well = 0
        return True

    def went_well(self) -> None:
        """Note a batch; after enough of them the next ones are twice as large, up to what was wanted."""
        self._well += 1
        if self.now < self._wanted and self._well >= self._patience:
            self.now = min(self._wanted, self.now * 2)
            self._well = 0
            self._raised = True


def is_out_of_memory(error: RuntimeError) -> bool:
    """Tell whether an error is one of memory: PyTorch's own, or of a library beneath it that says so in words."""
    if isinstance(error, torch.OutOfMemoryError) or should_reduce_batch_size(error):
        return True
    return any(words in str(error) for words in _NO_MEMORY)
