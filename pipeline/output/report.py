"""The page that a person opens after a run: counts, a gallery, and every kind of failure."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from jinja2 import Environment, PackageLoader

from pipeline import storage
from pipeline.output import plan_store, provenance
from pipeline.output.run_file import RunMetadata
from schemas.work import STAGES

GALLERY = 60  # pictures on the page
FAILURES = 200  # rows of failures on the page; all are in provenance
LIGHT = ["status", "photo_id", "variant", "unit", "key", "seconds", "failure"]  # of every row: a million fit in memory


def write_report(output: str, facts: RunMetadata, counts: Mapping[str, int]) -> int:
    """Write `report/index.html` from the records, and return how many current rows are failures.

    `counts` tells of this run how many control maps were `detected`, and how many `cached`.
    """
    table = current_units(output)
    failed, done = (table.filter(pc.equal(table["status"], status)) for status in ("failed", "done"))
    failures = failed["failure"].to_pylist()
    page = Environment(loader=PackageLoader("pipeline.output"), autoescape=True).get_template("report.html")
    html = page.render(
        facts=facts,
        recipe=facts.recipe,
        done=done.num_rows,
        failed=failed.num_rows,
        kinds=Counter((each["stage"], each["error"]) for each in failures).most_common(),
        pictures=read_rows(output, done.slice(0, GALLERY)),
        failures=failed.slice(0, FAILURES).to_pylist(),
        seconds=_mean_seconds(done),
        detected=counts.get("detected", 0),
        cached=counts.get("cached", 0),
    )
    storage.put(storage.join(output, "report", "index.html"), html.encode())
    return int(failed.num_rows)


def current_units(output: str) -> pa.Table:
    """Return the rows of provenance that no later plan replaced, by photo and variant, in the columns `LIGHT`."""
    old = pa.array(sorted(plan_store.superseded_keys(plan_store.read_plans(output))), pa.string())
    table = provenance.read_records(output, provenance.done_units(output), LIGHT)
    return table.filter(pc.invert(pc.is_in(table["key"], old))).sort_by(
        [("photo_id", "ascending"), ("variant", "ascending")]
    )


def read_rows(output: str, chosen: pa.Table) -> list[dict[str, Any]]:
    """Return every column of provenance of the rows `chosen` from `current_units`, in their order."""
    found = provenance.read_records(output, set(chosen["unit"].to_pylist())).to_pylist()
    by_place = {(row["unit"], row["key"]): row for row in found}
    return [by_place[place] for place in zip(chosen["unit"].to_pylist(), chosen["key"].to_pylist(), strict=True)]


def _mean_seconds(done: pa.Table) -> dict[str, float]:
    """Return the mean seconds that a picture spent in each stage."""
    means = {stage: pc.mean(pc.struct_field(done["seconds"], stage)).as_py() for stage in STAGES}
    return {stage: mean for stage, mean in means.items() if mean is not None}
