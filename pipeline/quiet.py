"""Silence for compiled code that talks on standard error whatever it is told."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def silence_stderr() -> Iterator[None]:
    """Send what anything in this process writes to standard error nowhere, for as long as this lasts."""
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def silence_ray() -> None:
    """Keep the output of Ray's own processes short, unless the user chose otherwise. Call it before Ray is imported."""
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
