"""Load the rows of units and fetch their photos, as the first step of the flow."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from pipeline import storage
from pipeline.plan.load_unit import load_unit
from pipeline.recipes.prompts import PromptRenderer
from pipeline.steps.row_step import RowStep, rows_to_table
from schemas.work import Fetched, Planned, Unit

BATCH_ROWS = 32  # rows that move through the flow together; a larger unit is passed on in several batches
FOLDERS = ("images", "maps", "masks")


@dataclass(frozen=True)
class LoadUnit:
    """Loads the rows of a unit and fetches their photos.

    Attributes:
        output: The address of the output.
        renderer: Renders the prompts.
        fetch: The step that fetches the photos of rows.
    """

    output: str
    renderer: PromptRenderer
    fetch: RowStep[Planned, Fetched]

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
            yield rows_to_table(self.fetch.run(rows[start : start + BATCH_ROWS]), Fetched)
