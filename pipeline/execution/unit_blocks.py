"""Divide the units of a run into blocks, which Ray Data processes one after the other in one task each."""

import itertools
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.plan.remaining import RemainingWork
from schemas.arrow import columns_of
from schemas.work import UNITS, Addresses

# A block of several units needs fewer tasks, and the process that loads it decodes a part of the plan once for all of
# them. Each task takes milliseconds of CPU, and each block 50 KB of memory in the driver. But if a machine fails, the
# rows of its blocks are loaded again.
ROWS_PER_BLOCK = 8192
BLOCKS_PER_CPU = 8  # in a run with enough units, so that all processes share the work


def unit_blocks(work: RemainingWork, cpus: int, *, together: bool = True) -> Iterator[pa.Table]:
    """Yield tables of `schemas.work.Unit` rows, with the credentials of their addresses.

    Args:
        work: The units.
        cpus: The number of CPUs of the cluster.
        together: Whether a block may have several units. Otherwise, a photo that ends its process loses no other unit.
    """
    rows = pc.max(work.units["pending"]).as_py() or 1
    most = min(ROWS_PER_BLOCK // rows, work.units.num_rows // (BLOCKS_PER_CPU * cpus))
    size = max(1, most) if together else 1
    addresses = _Addresses(work)
    for start in range(0, work.units.num_rows, size):
        block = work.units.slice(start, size)
        if work.addresses is not None:
            column = pa.array([addresses.of(unit) for unit in block["unit"].to_pylist()], UNITS.field("addresses").type)
            block = block.set_column(UNITS.get_field_index("addresses"), "addresses", column)
        yield block


class _Addresses:
    """Reads the addresses with credentials in the order of the units, and keeps those of one unit."""

    def __init__(self, work: RemainingWork) -> None:
        units = set(work.units["unit"].to_pylist())
        wanted = (row for row in _rows(work) if row["unit"] in units)
        self._groups = itertools.groupby(wanted, key=lambda row: row["unit"])
        self._next = next(self._groups, None)
        self._unit: str | None = None
        self._rows: list[dict[str, object]] = []

    def of(self, unit: str) -> list[dict[str, object]] | None:
        """Return the addresses of the same unit as before, or of the next one. None if it has none."""
        if self._next is not None and self._next[0] == unit:
            self._unit = unit
            self._rows = [{name: row[name] for name in columns_of(Addresses)} for row in self._next[1]]
            self._next = next(self._groups, None)
        return self._rows if self._unit == unit else None


def _rows(work: RemainingWork) -> Iterator[dict[str, object]]:
    if work.addresses is not None:
        with pq.ParquetFile(work.addresses) as file:
            for batch in file.iter_batches(use_threads=False):
                yield from batch.to_pylist()
