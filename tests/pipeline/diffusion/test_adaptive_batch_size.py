"""Halved where memory runs out, kept, and raised again with care."""

import pytest
import torch

from pipeline.diffusion.adaptive_batch_size import BATCHES_BEFORE_GROWTH, AdaptiveBatchSize, is_out_of_memory


def test_it_is_halved_down_to_one_picture_and_no_further() -> None:
    size = AdaptiveBatchSize(8)
    assert [(size.ran_out(), size.now) for _ in range(4)] == [(True, 4), (True, 2), (True, 1), (False, 1)]


def well(size: AdaptiveBatchSize, times: int) -> int:
    for _ in range(times):
        size.went_well()
    return size.now


def test_it_grows_after_many_batches_and_never_beyond_what_was_wanted() -> None:
    size = AdaptiveBatchSize(8)
    well(size, 3)
    size.ran_out()
    assert well(size, BATCHES_BEFORE_GROWTH - 1) == 4
    assert well(size, 1) == 8
    assert well(size, 5 * BATCHES_BEFORE_GROWTH) == 8


def test_a_growth_that_fails_at_once_makes_it_wait_longer() -> None:
    size = AdaptiveBatchSize(8)
    size.ran_out()
    well(size, BATCHES_BEFORE_GROWTH)
    size.ran_out()
    assert well(size, BATCHES_BEFORE_GROWTH) == 4
    assert well(size, BATCHES_BEFORE_GROWTH) == 8


@pytest.mark.parametrize(
    ("said", "memory"),
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
def test_libraries_say_in_words_of_their_own_that_there_is_no_memory(said: str, *, memory: bool) -> None:
    assert is_out_of_memory(RuntimeError(said)) == memory
    assert is_out_of_memory(torch.OutOfMemoryError("no words are needed"))
