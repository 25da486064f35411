"""Tests of the batch size: it is halved when memory runs out, and grows again after many batches."""

import pytest
import torch

from pipeline.diffusion.adaptive_batch_size import BATCHES_BEFORE_GROWTH, AdaptiveBatchSize, is_out_of_memory

pytestmark = pytest.mark.slow


def count_successes(size: AdaptiveBatchSize, batches: int) -> int:
    """Report a number of successful batches, and return the size after them."""
    for _ in range(batches):
        size.count_success()
    return size.current


def test_size_is_halved_down_to_one() -> None:
    size = AdaptiveBatchSize(8)
    assert [(size.shrink(), size.current) for _ in range(4)] == [(True, 4), (True, 2), (True, 1), (False, 1)]


def test_size_grows_after_many_batches_up_to_the_maximum() -> None:
    size = AdaptiveBatchSize(8)
    count_successes(size, 3)
    size.shrink()
    assert count_successes(size, BATCHES_BEFORE_GROWTH - 1) == 4
    assert count_successes(size, 1) == 8
    assert count_successes(size, 5 * BATCHES_BEFORE_GROWTH) == 8


def test_size_grows_more_slowly_after_a_growth_that_fails_at_once() -> None:
    size = AdaptiveBatchSize(8)
    size.shrink()
    count_successes(size, BATCHES_BEFORE_GROWTH)
    size.shrink()
    assert count_successes(size, BATCHES_BEFORE_GROWTH) == 4
    assert count_successes(size, BATCHES_BEFORE_GROWTH) == 8


def test_size_grows_as_fast_as_before_after_later_failures() -> None:
    size = AdaptiveBatchSize(8)
    size.shrink()
    count_successes(size, BATCHES_BEFORE_GROWTH)
    count_successes(size, 1)
    size.shrink()
    size.shrink()
    assert count_successes(size, BATCHES_BEFORE_GROWTH) == 4


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation' in its documentation.", True),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", True),
        ("CUDA driver error: out of memory", True),
        ("Triton Error [CUDA]: out of memory", True),
        ("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried …", True),
        ("CUDA error: an illegal memory access was encountered", False),
    ],
)
def test_out_of_memory_errors_are_recognized_by_message(message: str, *, expected: bool) -> None:
    assert is_out_of_memory(RuntimeError(message)) == expected


def test_out_of_memory_errors_of_torch_are_recognized_by_class() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("any message"))
