"""Continue a command after the reader of its standard output or standard error has closed it."""

import errno
import io
import os
import sys
from pathlib import Path
from typing import Any, TextIO

STANDARD_OUTPUT = "standard output"
_CLOSED = (errno.EPIPE, errno.EIO)  # of a closed pipe, as by `| head`, and of a closed terminal


def keep_streams_open() -> None:
    """Replace `sys.stdout` and `sys.stderr`, so that what is written after their reader closed them is discarded.

    Any other error of a stream is an `OSError` with its name, and what is written later is discarded.
    """
    sys.stdout = _replace(sys.stdout, STANDARD_OUTPUT)
    sys.stderr = _replace(sys.stderr, "standard error")


def _replace(stream: TextIO | None, name: str) -> TextIO:
    if stream is None:  # closed before the start
        return Path(os.devnull).open("w")
    raw: Any = _Stream(stream.fileno(), name)
    is_line_buffered = bool(stream.line_buffering)
    return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, stream.errors, line_buffering=is_line_buffered)


class _Stream(io.FileIO):
    """The file of a standard stream. It discards what is written after an error."""

    def __init__(self, number: int, title: str) -> None:
        super().__init__(number, "w", closefd=False)
        self._title = title

    def write(self, content: "bytes | memoryview[int]", /) -> int:  # type: ignore[override]
        try:
            return super().write(content)
        except BlockingIOError:
            raise
        except OSError as error:
            self._discard()
            if error.errno in _CLOSED:
                return len(content)
            raise OSError(error.errno, error.strerror, self._title) from error

    def _discard(self) -> None:
        """Discard what is written from now on, also when Python writes its buffers at exit."""
        with Path(os.devnull).open("wb") as null:
            os.dup2(null.fileno(), self.fileno())
