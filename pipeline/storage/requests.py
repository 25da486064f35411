"""Limit the time of storage requests, because the storage libraries may wait forever for a server without an answer.

For example, no time limit of aiohttp applies while botocore waits for `100 Continue` before it sends an object.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from fsspec.asyn import AsyncFileSystem, sync
from fsspec.exceptions import FSTimeoutError

REQUEST_SECONDS = 60.0  # twice as long as libraries wait for a part of an answer, so that they can repeat a request
LISTING_SECONDS = 300.0  # of a folder, which takes a request for each 1,000 files
SLOWEST_BYTES = 256 * 1024  # per second, of the content of a request

_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)  # a time of `time.monotonic`


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Limit the total time of the requests that this thread sends in a block, including retries."""
    token = _deadline.set(min(_deadline.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _deadline.reset(token)


def remaining_seconds() -> float:
    """Return the seconds that `time_limit` leaves for requests, at least 0. Infinite without a limit."""
    return max(0.0, _deadline.get() - time.monotonic())


def request(
    fs: Any,  # noqa: ANN401 - fsspec has no types
    method: str,
    /,
    *arguments: Any,  # noqa: ANN401 - likewise
    size: int = 0,
    seconds: float | None = None,
    **options: Any,  # noqa: ANN401 - likewise
) -> Any:  # noqa: ANN401 - likewise
    """Call a method of a file system of fsspec, within a time limit if the file system is asynchronous.

    At the end of the limit the request is cancelled. A storage may still complete it later.

    Args:
        fs: The file system.
        method: The name of the method, such as `pipe_file`.
        arguments: Its arguments.
        size: The size of the content in bytes, for which the limit is extended.
        seconds: The limit without content. Defaults to `REQUEST_SECONDS`.
        options: Its keyword arguments.

    Raises:
        TimeoutError: The limit has passed, or the storage library raised it.
    """
    if not isinstance(fs, AsyncFileSystem):
        return getattr(fs, method)(*arguments, **options)
    limit = min((REQUEST_SECONDS if seconds is None else seconds) + size / SLOWEST_BYTES, remaining_seconds())
    if limit <= 0:
        raise TimeoutError("no time left")
    try:
        return sync(fs.loop, getattr(fs, f"_{method}"), *arguments, timeout=limit, **options)
    except FSTimeoutError as error:
        raise TimeoutError(str(error.__cause__ or "") or f"no answer within {limit:.2g} s") from error
