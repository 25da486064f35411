"""Load the rows of units and fetch their photos, as the first step of the flow."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline import storage
from pipeline.errors import FileTooLargeError
from pipeline.plan.load_unit import load_unit
from pipeline.recipes.prompts import PromptRenderer
from pipeline.steps.row_step import RowStep, rows_to_table
from schemas.work import Failed, Fetched, Planned, Unit

BATCH_ROWS = 32  # rows that move through the flow together; a larger unit is passed on in several batches
SMALL_BYTES = 8 * 2**20  # a process has several copies of a batch while it packs it: 32 files of 31 MiB took 3.4 GiB
LARGE_BATCH_BYTES = 256 * 2**20  # a batch of rows with larger files is passed on as soon as they have so many bytes
FOLDERS = ("images", "maps", "masks")


@dataclass(frozen=True)
class LoadUnit:
    """Loads the rows of a unit and fetches their photos.

    Attributes:
        output: The address of the output.
        renderer: Renders the prompts.
        fetch: The step that fetches photos, many at once, whose files have at most `SMALL_BYTES`.
        fetch_large: The step that fetches the others, one after the other, so that they fit in memory. None if the run
            allows no larger files.
    """

    output: str
    renderer: PromptRenderer
    fetch: RowStep[Planned, Fetched]
    fetch_large: RowStep[Planned, Fetched] | None

    def rows(self, unit: Unit) -> list[Planned]:
        """Return the rows of a unit that are to be processed. Raises `DamagedOutputError`."""
        return load_unit(unit, self.renderer)

    def batches(self, unit: Unit) -> Iterator[pa.Table]:
        """Yield tables of `Fetched` rows with up to `BATCH_ROWS` rows.

        Raises:
            DamagedOutputError: The file of the plan cannot be read.
        """
        for folder in FOLDERS:
            # They are of a killed process. No other process writes files of this unit before its rows are loaded.
            storage.remove_partial_files(storage.join(self.output, folder, unit.unit))
        rows = self.rows(unit)
        for start in range(0, len(rows), BATCH_ROWS):
            yield from self._fetch(rows[start : start + BATCH_ROWS])

    def _fetch(self, rows: list[Planned]) -> Iterator[pa.Table]:
        """Yield a table of the rows with small files, and then tables of the rows with large ones."""
        fetched = self.fetch.run(rows)
        is_large = [self.fetch_large is not None and _is_too_large(row) for row in fetched]
        yield from _tables([row for row, large in zip(fetched, is_large, strict=True) if not large])
        if self.fetch_large is None:
            return
        batch: list[Fetched | Failed] = []
        for row in (row for row, large in zip(rows, is_large, strict=True) if large):
            batch += self.fetch_large.run([row])
            if sum(map(_size, batch)) >= LARGE_BATCH_BYTES:
                yield from _tables(batch)
                batch = []
        yield from _tables(batch)


def _tables(rows: Sequence[Fetched | Failed]) -> Iterator[pa.Table]:
    if rows:
        yield rows_to_table(rows, Fetched)


def _is_too_large(row: Fetched | Failed) -> bool:
    return isinstance(row, Failed) and row.failure.code == FileTooLargeError.code


def _size(row: Fetched | Failed) -> int:
    """Return the size of the files of a row in bytes."""
    if isinstance(row, Failed):
        return 0
    provided = sum(len(file.content) for file in row.provided)
    return len(row.photo) + provided + len(row.mask or b"") + len(row.reference or b"")
