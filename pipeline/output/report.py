"""Write the HTML report of an output: counts, a gallery of images, and failures."""

from collections.abc import Mapping

from jinja2 import Environment, PackageLoader

from pipeline import storage
from pipeline.output.current_rows import count_rows, read_rows
from pipeline.output.lease import check_lease
from pipeline.output.run_file import RunMetadata

MAX_IMAGES = 60
MAX_FAILURES = 200  # the records contain all failures
IMAGE_COLUMNS = ["photo_id", "variant", "seed", "uri", "controls"]
FAILURE_COLUMNS = ["photo_id", "variant", "failure"]


def write_report(output: str, run: RunMetadata, counts: Mapping[str, int]) -> int:
    """Write `report/index.html` from the records of an output.

    Args:
        output: The address of the output.
        run: The metadata of the last run.
        counts: How many control maps of the units of this run were `detected`, and how many were `cached`.

    Returns:
        The number of failed rows that no later plan superseded, in all runs on this output.

    Raises:
        DamagedOutputError: A plan or a record cannot be read.
        LeaseLostError: Another run took over the output.
    """
    rows = count_rows(output, max(MAX_IMAGES, MAX_FAILURES))
    page = Environment(loader=PackageLoader("pipeline.output"), autoescape=True).get_template("report.html")
    html = page.render(
        run=run,
        recipe=run.recipe,
        done=rows.done,
        failed=rows.failed,
        errors=rows.errors.most_common(),
        images=read_rows(output, rows.first_done[:MAX_IMAGES], IMAGE_COLUMNS),
        failures=read_rows(output, rows.first_failed[:MAX_FAILURES], FAILURE_COLUMNS),
        seconds=rows.seconds,
        detected=counts.get("detected", 0),
        cached=counts.get("cached", 0),
    )
    check_lease(output)
    storage.put(storage.join(output, "report", "index.html"), html.encode())
    return rows.failed
