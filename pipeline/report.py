"""The page that a person opens after a run: counts, a gallery, and every kind of failure."""

from collections import Counter
from typing import Any

from jinja2 import Environment, PackageLoader

from pipeline import plan, records, storage
from pipeline.commit import RunFacts

GALLERY = 60  # pictures on the page
FAILURES = 200  # rows of failures on the page; all are in provenance
COLUMNS = [
    "status",
    "photo_id",
    "variant",
    "key",
    "uri",
    "controls",
    "source_uri",
    "prompt",
    "seed",
    "seconds",
    "failure",
]


def write_report(output: str, facts: RunFacts) -> int:
    """Write `report/index.html` from the records, and return how many current rows are failures."""
    rows = current_rows(output)
    failed = [row for row in rows if row["status"] == "failed"]
    done = [row for row in rows if row["status"] == "done"]
    page = Environment(loader=PackageLoader("pipeline"), autoescape=True).get_template("report.html")
    kinds = Counter((row["failure"]["stage"], row["failure"]["error"]) for row in failed)
    html = page.render(
        facts=facts,
        recipe=facts.recipe,
        done=len(done),
        failed=len(failed),
        kinds=kinds.most_common(),
        pictures=done[:GALLERY],
        failures=failed[:FAILURES],
        seconds=_mean_seconds(done),
    )
    storage.put(storage.join(output, "report", "index.html"), html.encode())
    return len(failed)


def current_rows(output: str) -> list[dict[str, Any]]:
    """Return the rows of provenance that no later plan replaced, sorted by photo and variant."""
    old = plan.superseded(plan.read_plans(output))
    table = records.read_records(output, records.done_units(output), COLUMNS)
    rows = [row for row in table.to_pylist() if row["key"] not in old]
    return sorted(rows, key=lambda row: (row["photo_id"], row["variant"]))


def _mean_seconds(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return the mean seconds that a picture spent in each stage."""
    spent = [row["seconds"] for row in rows]
    stages = spent[0] if spent else {}
    return {stage: sum(seconds[stage] or 0.0 for seconds in spent) / len(spent) for stage in stages}
