"""Read a file of a photo at any address within limits for time and size."""

import asyncio
import os
import stat
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from fsspec.asyn import AsyncFileSystem, get_loop
from fsspec.implementations.local import LocalFileSystem

from pipeline.errors import FetchTimeoutError, FileTooLargeError, NotRegularFileError
from pipeline.storage.addresses import filesystem, is_web_address
from pipeline.storage.limits import MIB, ReadLimits
from pipeline.storage.redaction import redact
from pipeline.storage.web import read_web


def read_limited(uri: str, limits: ReadLimits, deadline: float) -> bytes:
    """Read a file in one attempt. Errors of the storage library are raised unchanged.

    Args:
        uri: The address.
        limits: The limits.
        deadline: The time of `time.monotonic` at which reading ends, in seconds.

    Raises:
        FetchTimeoutError: The deadline has passed.
        FileTooLargeError: The file is larger than `limits.max_bytes`.
        NotRegularFileError: A local path names something else than a regular file.
        PrivateAddressError: A web address leads to a private host, and the limits do not allow it.
    """
    content = read_start(uri, limits, deadline, limits.max_bytes)
    if len(content) > limits.max_bytes:
        text = f"{redact(uri)}: larger than {limits.max_bytes / MIB:g} MiB (--max-photo-size)"
        raise FileTooLargeError(text, retryable=True)  # with another limit
    return content


def read_start(uri: str, limits: ReadLimits, deadline: float, most: int) -> bytes:
    """Read the first bytes of a file in one attempt, one more than `most` if the file is larger.

    Raises the errors of `read_limited`, except `FileTooLargeError`.
    """
    if is_web_address(uri):
        return _wait(read_web(uri, limits, most), uri, limits, deadline)
    fs, path = filesystem(uri)
    if isinstance(fs, LocalFileSystem):
        return _wait_for_thread(lambda: _read_local(path, most), uri, limits, deadline)  # a network may hang
    if isinstance(fs, AsyncFileSystem):
        return _wait(_read_object(fs, path, most), uri, limits, deadline)
    return _wait_for_thread(lambda: _read_stream(fs, path, most), uri, limits, deadline)


def _read_local(path: str, most: int) -> bytes:
    # A device may react when it is opened, and opening a pipe waits for its other end.
    _check_regular(os.stat(path), path)  # noqa: PTH116 - like the next lines
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        _check_regular(status, path)
        return file.read(min(most, status.st_size) + 1)


def _check_regular(status: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise NotRegularFileError(f"{redact(path)}: {kind}")


async def _read_object(fs: Any, path: str, most: int) -> bytes:  # noqa: ANN401 - fsspec has no types
    """Read the start of an object of a bucket with one request, or two if it is empty."""
    try:
        content: bytes = await fs._cat_file(path, start=0, end=most + 1)  # noqa: SLF001 - the public method has no time limit
    except (FileNotFoundError, PermissionError):
        raise
    except Exception:
        # Storages refuse a range of an empty object, each with another error. The error of the second request is
        # ignored, because the first one says more.
        with suppress(Exception):
            if (await fs._info(path))["size"] == 0:  # noqa: SLF001
                return b""
        raise
    return content


def _read_stream(fs: Any, path: str, most: int) -> bytes:  # noqa: ANN401 - fsspec has no types
    with fs.open(path, "rb") as file:
        content: bytes = file.read(most + 1)
        return content


def _wait(reading: Coroutine[Any, Any, bytes], uri: str, limits: ReadLimits, deadline: float) -> bytes:
    """Run a coroutine in the event loop of fsspec, and cancel it at the deadline."""
    future = asyncio.run_coroutine_threadsafe(reading, get_loop())
    return _result(future, uri, limits, deadline)


def _wait_for_thread(reading: Callable[[], bytes], uri: str, limits: ReadLimits, deadline: float) -> bytes:
    """Run a function in a thread, which is left alone at the deadline, because threads cannot be ended."""
    future: Future[bytes] = Future()

    def run() -> None:
        future.set_running_or_notify_cancel()  # it cannot be cancelled any more
        try:
            future.set_result(reading())
        except BaseException as error:  # noqa: BLE001 - raised by the caller
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return _result(future, uri, limits, deadline)


def _result(future: "Future[bytes]", uri: str, limits: ReadLimits, deadline: float) -> bytes:
    try:
        return future.result(max(0, deadline - time.monotonic()))
    except TimeoutError as error:
        if future.done():  # an error of the storage
            raise
        future.cancel()
        raise _timeout(uri, limits) from error


def _timeout(uri: str, limits: ReadLimits) -> FetchTimeoutError:
    text = f"{redact(uri)}: not received within {limits.total_seconds:g} s (--fetch-timeout)"
    return FetchTimeoutError(text, retryable=True)
