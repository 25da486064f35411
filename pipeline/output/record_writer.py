"""Collect the rows of units as they are finished, and write the record of each unit that is complete.

The record of a unit is written last, in one atomic put: a unit is done when its record exists.
"""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.errors import IncompleteUnitError
from pipeline.output.lease import check_lease
from pipeline.output.provenance import FOLDER, read_record, record_uri, write_record


class RecordWriter:
    """Writes the records of a run. It holds the rows of the units that are in work, but no pixels.

    Args:
        output: Address of the output.
        pending: The number of rows to receive for each unit.
        keep_done: Whether units may have an earlier record, whose done rows are kept. A row that another run has
            converted meanwhile is not replaced by a failure.
    """

    def __init__(self, output: str, pending: Mapping[str, int], *, keep_done: bool = False) -> None:
        self._output = output
        self._pending = dict(pending)
        self._keep_done = keep_done
        self._rows: dict[str, list[pa.Table]] = {}
        self._written = set[str]()
        storage.remove_partial_files(storage.join(output, FOLDER))  # of killed processes

    def add(self, rows: pa.Table) -> pa.Table:
        """Add finished rows, a table of `schemas.provenance.RecordRow` rows of any units.

        A row that was received before is ignored: a task of Ray that is repeated after a part of its batches arrived
        may divide its rows in another way.

        Returns the rows that were not received before.

        Raises:
            StorageError: A record cannot be written.
            LeaseLostError: Another run took over the output.
            IncompleteUnitError: More rows were received than a unit has.
        """
        new = [rows.slice(0, 0)]
        for unit in pc.unique(rows["unit"]).to_pylist():
            if unit in self._written:
                continue
            tables = self._rows.setdefault(unit, [])
            known = pa.array([key for table in tables for key in table["key"].to_pylist()], pa.string())
            received = rows.filter(pc.and_(pc.equal(rows["unit"], unit), pc.invert(pc.is_in(rows["key"], known))))
            # Copied, because the rows may be views of Ray's memory, which would be kept until the unit is complete.
            tables.append(pa.Table.from_batches(received.combine_chunks().to_batches(), received.schema))
            new.append(tables[-1])
            self._write_if_complete(unit, tables)
        return pa.concat_tables(new)

    def received_keys(self) -> dict[str, set[str]]:
        """Return the keys of the received rows of each unit that is incomplete."""
        return {
            unit: {key for table in self._rows.get(unit, []) for key in table["key"].to_pylist()}
            for unit in self._pending
        }

    def finish(self) -> None:
        """Check that no unit is incomplete.

        Raises:
            IncompleteUnitError: Rows of a unit were not received.
        """
        for unit, missing in self._pending.items():
            received = sum(table.num_rows for table in self._rows.get(unit, []))
            raise IncompleteUnitError(f"unit {unit}: {received} of {missing} rows were received")

    def _write_if_complete(self, unit: str, tables: list[pa.Table]) -> None:
        received, pending = sum(table.num_rows for table in tables), self._pending.get(unit, 0)
        if received < pending:
            return
        if received > pending:
            raise IncompleteUnitError(f"unit {unit}: {received} rows were received instead of {pending}")
        check_lease(self._output)
        record = pa.concat_tables(tables)
        # Another run on the same output may have written a record meanwhile.
        if self._keep_done or not write_record(self._output, unit, record, replace=False):
            write_record(self._output, unit, self._with_done_rows(unit, record))
        del self._pending[unit], self._rows[unit]
        self._written.add(unit)

    def _with_done_rows(self, unit: str, rows: pa.Table) -> pa.Table:
        """Add the done rows of the earlier record of a unit, but those that were converted again."""
        if not storage.exists(record_uri(self._output, unit)):
            return rows
        record, is_done = read_record(self._output, unit), pc.equal(rows["status"], "done")
        earlier = record.filter(pc.equal(record["status"], "done"))
        kept = earlier.filter(pc.invert(pc.is_in(earlier["key"], rows.filter(is_done)["key"])))
        new = rows.filter(pc.or_(is_done, pc.invert(pc.is_in(rows["key"], earlier["key"]))))
        return pa.concat_tables([kept, new])
