"""Read all records of an output in tests."""

from pathlib import Path
from typing import Any

from pipeline.output.provenance import done_units, read_record


def read_records(output: str | Path) -> list[dict[str, Any]]:
    """Return the rows of all records of an output, in the order of the names of their units."""
    units = sorted(done_units(str(output)))
    return [row for unit in units for row in read_record(str(output), unit).to_pylist()]
