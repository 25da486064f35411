"""Compare the content of image files with the digests of their records."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeAlias

from pipeline import storage

READERS = 16  # threads; reading a file mostly waits for the network


class RecordedFile(NamedTuple):
    """An image file that a record names."""

    name: str  # relative to the output
    unit: str  # of the record
    sha256: str | None


ContentCheck: TypeAlias = Callable[[str, Iterable[list[RecordedFile]]], Iterator[RecordedFile]]
"""Reads the files of batches in an output, each file once, and returns those that differ from their record."""


def altered_files(output: str, batches: Iterable[list[RecordedFile]]) -> Iterator[RecordedFile]:
    """Read files in threads of this process, and return those that differ from their record."""
    with ThreadPoolExecutor(READERS) as readers:
        for batch in batches:
            digests = readers.map(lambda file: _digest(storage.join(output, file.name)), batch)
            yield from (file for file, digest in zip(batch, digests, strict=True) if digest != file.sha256)


def _digest(uri: str) -> str | None:
    content = storage.read_if_exists(uri)  # None for a broken symbolic link
    return None if content is None else hashlib.sha256(content).hexdigest()
