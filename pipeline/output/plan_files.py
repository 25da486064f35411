"""Write the files of a plan from queries, and list the units of a file."""

from pathlib import Path

import pyarrow as pa

from pipeline.storage.database import Database, literal, sql_type
from schemas.work import PLAN, PLANNED_UNITS

ROW_GROUP = 2048  # rows that are read together, the smallest number that DuckDB writes


def write_rows(database: Database, query: str, path: Path) -> None:
    """Write the rows of a query with the columns of `schemas.work.PlanRow` to a Parquet file, in their order."""
    typed = ", ".join(f"{field.name}::{sql_type(field.type)} AS {field.name}" for field in PLAN)
    options = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP}"
    database.run(f"COPY (SELECT {typed} FROM ({query})) TO {literal(str(path))} ({options})")


def index_units(database: Database, path: Path) -> pa.Table:
    """Return the units of a file, whose rows are neighbours, as a table of `schemas.work.PlannedUnit` rows."""
    rows = f"SELECT unit, recipe_digest, file_row_number AS position FROM {database.parquet([str(path)])}"
    index = (
        f"SELECT unit, {literal(path.name)} AS part, min(position) AS start, count(*) AS rows,"
        f" min(recipe_digest) AS recipe_digest FROM ({rows}) GROUP BY unit"
    )
    return database.table(f"FROM ({index}) ORDER BY start").cast(PLANNED_UNITS)
