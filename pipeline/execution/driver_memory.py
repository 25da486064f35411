"""Keep the memory of the driver small."""

import ctypes
import sys

import pyarrow as pa


def release_memory() -> None:
    """Return freed memory to the system, of which planning millions of rows leaves 30 MB in the process.

    Arrow keeps freed memory in its pools, and the allocator of glibc keeps it between blocks that are in use.
    """
    for pool in (pa.default_memory_pool(), pa.system_memory_pool()):
        pool.release_unused()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # which other C libraries than glibc do not have
        if trim is not None:
            trim(0)
