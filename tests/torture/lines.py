"""The lines of the table that `make torture` prints, and the number of tries of its long and its short form."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

LONG = bool(os.environ.get("TORTURE"))  # set by `make torture`; `make test` runs the short form


long_only = pytest.mark.skipif(not LONG, reason="part of `make torture` only")


@dataclass
class Line:
    """One kind of disturbance.

    Attributes:
        name: What was disturbed.
        tries: How often it was disturbed.
        lost: Rows without a correct record or image at the end.
        twice: Rows that were recorded more than once.
        hangs: Runs that did not end.
        seconds: The duration.
        note: Why the line was skipped, or what was left out.
    """

    name: str
    tries: int = 0
    lost: int = 0
    twice: int = 0
    hangs: int = 0
    seconds: float = 0.0
    note: str = ""

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost, recorded twice, or hanging."""
        return not (self.lost or self.twice or self.hangs)


LINES: list[Line] = []


def tries(long: int, short: int) -> int:
    """Return the number of tries of this form."""
    return long if LONG else short


@contextmanager
def line(name: str) -> Iterator[Line]:
    """Add a line to the table, and check it at the end."""
    added = Line(name)
    LINES.append(added)
    begin = time.monotonic()
    try:
        yield added
    finally:
        added.seconds = time.monotonic() - begin
    assert added.is_clean, added
    assert added.tries, f"{name}: nothing was disturbed"
