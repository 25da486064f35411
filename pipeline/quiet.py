"""Silence the output of libraries and processes that ignore Python's logging settings."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def silence_stderr() -> Iterator[None]:
    """Discard the standard error of this process, including the output of compiled libraries."""
    original = os.dup(2)
    with Path(os.devnull).open("wb") as null:
        os.dup2(null.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(original, 2)
        os.close(original)


def silence_ray() -> None:
    """Limit the logs of Ray's processes to fatal errors, unless RAY_BACKEND_LOG_LEVEL is set.

    Must be called before Ray is imported.
    """
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
