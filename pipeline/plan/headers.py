"""Read the sizes of photos from their headers, in chunks of some thousand photos."""

import io
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from itertools import repeat
from typing import BinaryIO, Protocol

import pyarrow as pa

from pipeline import storage
from pipeline.images.formats import DECODER_ERRORS
from pipeline.images.opening import open_image
from pipeline.images.photo import read_header
from pipeline.plan.rate_limit import TokenBucket
from pipeline.storage.limited_read import read_start
from pipeline.storage.limits import ReadLimits
from schemas.manifest import KNOWN

LIMITS = ReadLimits()
READERS = 16  # threads of a process; reading a header mostly waits for the network
HEADER_BLOCK = 64 * 1024  # bytes per read; most photos have their size and EXIF data in the first block
CHUNK_PHOTOS = 2000  # photos of a chunk, which is read again if it is interrupted
CHUNK_SECONDS = 60  # the longest time that the rate limit gives a chunk
VERSION = ("uri", "bytes", "etag", "modified")  # columns that identify one version of a photo
SIZES = pa.schema([KNOWN.field(name) for name in (*VERSION, "width", "height")])


class HeaderReader(Protocol):
    """Reads the headers of chunks of photos.

    Attributes:
        photos: The number of photos in a chunk.
    """

    @property
    def photos(self) -> int:
        """Return the number of photos in a chunk."""

    def __call__(self, chunks: Iterator[pa.Table]) -> Generator[pa.Table, None, None]:
        """Yield a table of `SIZES` for each table with the columns `VERSION`, in any order."""


class ThreadedReader:
    """Reads the headers in threads of this process.

    Args:
        rate: The largest number of headers that are read per second. None for no limit.
        photos: The number of photos in a chunk.
    """

    def __init__(self, rate: float | None = None, photos: int = CHUNK_PHOTOS) -> None:
        self._rate = rate
        self.photos = photos_of_a_chunk(rate, photos)

    def __call__(self, chunks: Iterator[pa.Table]) -> Generator[pa.Table, None, None]:
        """Yield a table of `SIZES` for each table with the columns `VERSION`, in their order."""
        bucket = TokenBucket(self._rate) if self._rate else None
        return (read_sizes(chunk, bucket) for chunk in chunks)


def photos_of_a_chunk(rate: float | None, photos: int = CHUNK_PHOTOS) -> int:
    """Return the number of photos in a chunk, so that a process with a rate limit reads a chunk in a minute."""
    return photos if rate is None else max(1, min(photos, int(rate * CHUNK_SECONDS)))


def read_sizes(chunk: pa.Table, bucket: TokenBucket | None = None) -> pa.Table:
    """Read the width and height of the upright photos of a chunk. They are null if a header cannot be read.

    Args:
        chunk: A table with the columns `VERSION`.
        bucket: Limits the rate of the reads. None for no limit.
    """
    with ThreadPoolExecutor(READERS) as readers, ExitStack() as interruption:
        if bucket:
            interruption.callback(bucket.close)  # so that no thread waits for its token after an interruption
        sizes = list(readers.map(_read_size, chunk["uri"].to_pylist(), repeat(bucket)))
        interruption.pop_all()
    columns = [*(chunk[name] for name in VERSION), [width for width, _ in sizes], [height for _, height in sizes]]
    return pa.table(dict(zip(SIZES.names, columns, strict=True)), SIZES)


def _read_size(uri: str, bucket: TokenBucket | None) -> tuple[int | None, int | None]:
    fs, path = storage.filesystem(uri)
    if bucket:
        bucket.take()
    with suppress(Exception):  # any error of a storage: a run will report it as the failure of the photo
        start = read_start(uri, LIMITS, time.monotonic() + LIMITS.total_seconds, HEADER_BLOCK)
        size = _size_of(io.BytesIO(start))
        if size is None and len(start) > HEADER_BLOCK:
            with fs.open(path, "rb", block_size=HEADER_BLOCK) as file:
                size = _size_of(file)
        return size or (None, None)
    return None, None


def _size_of(file: BinaryIO) -> tuple[int, int] | None:
    """Return the width and height of an upright photo, or None if its header is invalid or incomplete."""
    with suppress(*DECODER_ERRORS), open_image(file) as image:
        width, height = read_header(image).size
        return width, height
    return None
