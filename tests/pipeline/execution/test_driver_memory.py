"""Freed memory is returned to the system."""

import sys

import psutil
import pytest

from pipeline.execution.driver_memory import release_memory

MIB = 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="needs the allocator of glibc")
def test_freed_memory_is_returned() -> None:
    process = psutil.Process()
    blocks = [bytearray(1000) for _ in range(200_000)]  # smaller than the blocks that malloc returns when it frees them
    kept = blocks[-1]  # keeps malloc from returning the memory before it
    full = process.memory_info().rss
    del blocks
    release_memory()
    assert full - process.memory_info().rss > 100 * MIB
    assert len(kept) == 1000
