"""Restore the error of a signal handler after compiled code has replaced it."""

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import RunError


@contextmanager
def signal_errors_kept() -> Iterator[None]:
    """Raise the error of a signal handler that compiled code, such as Ray's, replaced by a `SystemError`."""
    try:
        yield
    except SystemError as error:
        if isinstance(error.__cause__, RunError):
            raise error.__cause__ from None
        raise
