"""Leases with short times, and the files of leases."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from pipeline import storage
from pipeline.output import lease_holder
from pipeline.output.lease import Lease
from pipeline.output.lease_holder import LeaseHolder

TTL = 0.2
NEVER = 1000.0


@contextmanager
def lease_with(output: str, ttl: float = TTL, renewal: float = NEVER) -> Iterator[Lease]:
    lease = Lease(output, "convert", ttl, renewal)
    try:
        yield lease
    finally:
        lease.release()


def numbers(output: str) -> list[int]:
    """Return the numbers of the lease, the lowest first."""
    names = storage.file_names(f"{output}/_lease")
    return sorted(int(name.removesuffix(".json")) for name in names if name.endswith(".json"))


def holder_of(output: str, number: int) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(storage.read(f"{output}/_lease/{number}.json"))
    return content


def write(output: str, number: int, **changes: Any) -> LeaseHolder:
    """Write a number of the lease for a process on another machine."""
    holder = replace(
        lease_holder.this_process("convert", "run"), **{"host": "elsewhere", "machine": "other", **changes}
    )
    storage.put(f"{output}/_lease/{number}.json", holder.to_json())
    return holder


def wait_for(reached: Callable[[], bool]) -> None:
    while not reached():
        time.sleep(0.01)
