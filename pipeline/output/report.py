"""Write the HTML report of an output: counts, a gallery of images, and failures."""

from collections import Counter
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc
from jinja2 import Environment, PackageLoader

from pipeline import storage
from pipeline.output import plan_store, provenance
from pipeline.output.run_file import RunMetadata
from pipeline.storage.database import open_database
from schemas.arrow import to_rows
from schemas.provenance import PROVENANCE, RecordRow
from schemas.row_parts import STAGES

MAX_IMAGES = 60
MAX_FAILURES = 200  # the records contain all failures
# The columns that are read for every row. They are few, so that a million rows fit in memory.
SUMMARY_COLUMNS = ["status", "photo_id", "variant", "unit", "key", "seconds", "failure"]


def write_report(output: str, run: RunMetadata, counts: Mapping[str, int]) -> int:
    """Write `report/index.html` from the records of an output.

    Args:
        output: The address of the output.
        run: The metadata of the last run.
        counts: How many control maps of the units of this run were `detected`, and how many were `cached`.

    Returns:
        The number of failed rows that no later plan superseded, in all runs on this output.
    """
    table = current_rows(output)
    failed, done = (table.filter(pc.equal(table["status"], status)) for status in ("failed", "done"))
    page = Environment(loader=PackageLoader("pipeline.output"), autoescape=True).get_template("report.html")
    html = page.render(
        run=run,
        recipe=run.recipe,
        done=done.num_rows,
        failed=failed.num_rows,
        errors=Counter((failure["stage"], failure["code"]) for failure in failed["failure"].to_pylist()).most_common(),
        images=read_rows(output, done.slice(0, MAX_IMAGES)),
        failures=failed.slice(0, MAX_FAILURES).to_pylist(),
        seconds=_mean_seconds(done),
        detected=counts.get("detected", 0),
        cached=counts.get("cached", 0),
    )
    storage.put(storage.join(output, "report", "index.html"), html.encode())
    return int(failed.num_rows)


def current_rows(output: str) -> pa.Table:
    """Read `SUMMARY_COLUMNS` of all rows that no later plan superseded, sorted by photo and variant."""
    with open_database() as database:
        plans = plan_store.read_plans(output)
        plan_store.open_plans(plans, database)
        plan_store.find_superseded(plans, database)
        provenance.open_records(output, provenance.done_units(output), database)
        columns = ", ".join(SUMMARY_COLUMNS)
        rows = f"SELECT {columns} FROM records ANTI JOIN superseded USING (key) ORDER BY photo_id, variant"
        schema = pa.schema([PROVENANCE.field(name) for name in SUMMARY_COLUMNS])
        return database.table(rows).cast(schema)


def read_rows(output: str, selected: pa.Table) -> list[RecordRow]:
    """Read all columns of rows that were selected from the table of `current_rows`, in the same order."""
    rows = to_rows(provenance.read_records(output, set(selected["unit"].to_pylist())), RecordRow)
    rows_by_key = {(row.unit, row.key): row for row in rows}
    return [rows_by_key[key] for key in zip(selected["unit"].to_pylist(), selected["key"].to_pylist(), strict=True)]


def _mean_seconds(done: pa.Table) -> dict[str, float]:
    """Compute the mean time per image in each stage, in seconds. Stages without measurements are omitted."""
    means = {stage: pc.mean(pc.struct_field(done["seconds"], stage)).as_py() for stage in STAGES}
    return {stage: mean for stage, mean in means.items() if mean is not None}
