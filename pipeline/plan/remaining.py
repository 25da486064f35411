"""Find what is left to do: the planned units of a manifest without the units that are done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from pipeline import storage
from pipeline.errors import SupersededError
from pipeline.output import plan_store, provenance
from pipeline.output.lease import check_lease
from pipeline.output.plan_store import NewPlan, StoredPlan
from pipeline.plan.manifest import EVERY_PHOTO
from pipeline.plan.plan import Planning
from pipeline.plan.plan_columns import addresses, has_credentials
from pipeline.storage.database import Database, literal
from schemas.arrow import columns_of
from schemas.manifest import URIS
from schemas.work import UNITS, Addresses

LEFT_ROWS = "left_rows"


@dataclass(frozen=True)
class RemainingWork:
    """The units that a run has to process.

    Attributes:
        units: A table of `schemas.work.Unit` rows, without the addresses. Those of a new plan name its temporary files.
        done_rows: The number of rows of this manifest and these variants whose unit is done.
        done_units: The units that had a record when the work was found.
        absent_rows: The number of planned rows that the manifest does not have, and whose unit is not done. This run
            does not process them.
        keep_done: Whether a unit may have an earlier record, whose done rows are kept.
        addresses: A Parquet file with the columns of `schemas.work.Addresses` and the unit, in the order of `units`.
            It has the rows whose addresses have credentials, and is None if there are none.
    """

    units: pa.Table
    done_rows: int
    done_units: frozenset[str] = frozenset()
    absent_rows: int = 0
    keep_done: bool = False
    addresses: Path | None = None

    @property
    def rows(self) -> int:
        """The number of rows to process."""
        return sum(self.units["pending"].to_pylist())

    def moved(self, old: str, new: str) -> "RemainingWork":
        """Return the work with another address of the folder of a plan."""
        uris = [
            new + uri.removeprefix(old) if uri.startswith(f"{old}/") else uri for uri in self.units["uri"].to_pylist()
        ]
        column = pa.array(uris, pa.string())
        return replace(self, units=self.units.set_column(UNITS.get_field_index("uri"), "uri", column))


def remaining_work(
    planning: Planning,
    plans: Sequence[StoredPlan],
    new: NewPlan | None,
    output: str,
    *,
    retry_failed: bool = False,
) -> RemainingWork:
    """Find the units that are not done and contain a row of the manifest.

    Creates the view `left_rows` of the rows of these units.

    Args:
        planning: The rows of the manifest. If there are earlier plans, `plan_new_rows` was called before.
        plans: The earlier plans of the output.
        new: The plan of the rows that are new.
        output: The address of the output.
        retry_failed: Whether units with retryable failures are processed again.

    Raises:
        DamagedOutputError: A plan or a record cannot be read.
    """
    database, every = planning.database, [*plans, *([new.stored()] if new else [])]
    wanted = _wanted_rows(planning) if plans else {}
    plan_store.open_plans(every, database)
    plan_store.find_superseded(every, database)
    done = provenance.done_units(output)
    retried = _returned_units(every, output, done, database)
    if retry_failed:
        retried |= provenance.units_to_retry(output, done, database)
    tables, done_rows = [UNITS.empty_table()], 0
    for plan in every:
        is_new = new is not None and plan.uri == str(new.folder)
        names = plan.units["unit"].to_pylist()
        rows = dict(zip(names, plan.units["rows"].to_pylist(), strict=True)) if is_new else wanted
        done_rows += sum(rows.get(name, 0) for name in names if name in done and name not in retried)
        left = [name in rows and (name not in done or name in retried) for name in names]
        tables.append(_units_of(plan, plan.units.filter(pa.array(left, pa.bool_())), retried))
    units = pa.concat_tables(tables)
    units = _create_left_rows(planning, units)
    unwanted = [unit for plan in plans for unit in plan.units["unit"].to_pylist() if unit not in wanted]
    absent_rows = _count_absent_rows([unit for unit in unwanted if unit not in done], database)
    columns = units, done_rows, frozenset(done), absent_rows, bool(retried)
    return RemainingWork(*columns, _write_addresses(planning, units))


def store_plan(work: RemainingWork, new: NewPlan | None, output: str) -> RemainingWork:
    """Write a new plan to an output. Returns the work, whose units name the written files instead of temporary ones."""
    check_lease(output)
    return work if new is None else work.moved(str(new.folder), plan_store.write_plan(output, new))


def _units_of(plan: StoredPlan, index: pa.Table, retried: Mapping[str, list[str] | None]) -> pa.Table:
    """Return a table of `schemas.work.Unit` rows for units of a plan.

    Args:
        plan: The plan.
        index: The rows of the index of the plan.
        retried: The keys of the rows to process of each unit that is processed again, or None for all rows.
    """
    keys, rows = [retried.get(unit) for unit in index["unit"].to_pylist()], index["rows"].to_pylist()
    pending = [count if left is None else len(left) for left, count in zip(keys, rows, strict=True)]
    columns = {
        "unit": index["unit"],
        "uri": pa.array([storage.join(plan.uri, part) for part in index["part"].to_pylist()], pa.string()),
        "start": index["start"],
        "rows": index["rows"],
        "pending": pa.array(pending, pa.int32()),
        "keys": pa.array(keys, UNITS.field("keys").type),
    }
    nulls = {name: pa.nulls(index.num_rows, UNITS.field(name).type) for name in UNITS.names if name not in columns}
    return pa.table(columns | nulls, UNITS)


def _wanted_rows(planning: Planning) -> dict[str, int]:
    """Return the number of rows of the manifest in each unit of the earlier plans."""
    rows = f"SELECT unit FROM {plan_store.VIEW} SEMI JOIN wanted USING (key) WHERE change = 'new'"
    return dict(planning.database.rows(f"SELECT unit, count(*) FROM ({rows}) GROUP BY unit"))


def _returned_units(
    plans: Sequence[StoredPlan], output: str, done: set[str], database: Database
) -> dict[str, list[str] | None]:
    """Find the units with a row that was not current when the unit was processed, and is current again.

    Returns:
        The keys of the rows of each of these units that are not done, or None if no row of the unit is done.
    """
    if not any(plan_store.RETURNED in plan.files for plan in plans):
        return {}
    returned = database.rows(f"SELECT DISTINCT unit FROM {plan_store.VIEW} WHERE change = 'returned'")
    units = [unit for (unit,) in returned if unit in done]
    return provenance.units_to_retry(output, units, database, SupersededError.code)


def _count_absent_rows(units: list[str], database: Database) -> int:
    """Count the current rows of units without a row of the manifest."""
    if not units:
        return 0
    database.connection.register("absent_units", pa.table({"unit": units}))
    current = f"SELECT key FROM {plan_store.VIEW} SEMI JOIN absent_units USING (unit) ANTI JOIN superseded USING (key)"
    (count,) = database.row(f"SELECT count(DISTINCT key) FROM ({current})")
    database.connection.unregister("absent_units")
    return int(count)


def _create_left_rows(planning: Planning, units: pa.Table) -> pa.Table:
    """Create the view `left_rows` without superseded rows. Returns the units with the keys of these rows."""
    database = planning.database
    positions = units.select(["unit"]).append_column("position", pa.array(range(units.num_rows), pa.int64()))
    database.connection.register("left_units_arrow", positions)
    database.run("CREATE OR REPLACE TEMP TABLE left_units AS FROM left_units_arrow")
    database.connection.unregister("left_units_arrow")
    files = sorted(set(units["uri"].to_pylist()))
    if not files:
        database.run(f"CREATE OR REPLACE VIEW {LEFT_ROWS} AS SELECT *, 0 AS position FROM keyed WHERE false")
        return units
    joined = f"FROM {database.parquet(files)} JOIN left_units USING (unit)"
    plan_store.create(f"CREATE OR REPLACE VIEW {LEFT_ROWS} AS {joined} ANTI JOIN superseded USING (key)", database)
    if not database.row("SELECT count(*) FROM superseded")[0]:
        return units
    keys = f"SELECT unit, list(key ORDER BY key) AS keys FROM ({joined} SEMI JOIN superseded USING (key)) GROUP BY unit"
    superseded = dict(database.rows(keys))
    column = pa.array([superseded.get(unit) for unit in units["unit"].to_pylist()], UNITS.field("superseded").type)
    return units.set_column(UNITS.get_field_index("superseded"), UNITS.field("superseded"), column)


def _write_addresses(planning: Planning, units: pa.Table) -> Path | None:
    """Write the addresses with credentials of the remaining rows to a temporary file."""
    manifest, database = planning.manifest, planning.database
    if not units.num_rows:
        return None
    if not (manifest.has_credentials or database.row(f"SELECT bool_or(redacted) FROM {LEFT_ROWS}")[0]):
        return None
    columns = {"key": "l.key", "unit": "l.unit"} | addresses(manifest, planning.recipe, public=False)
    selected = ", ".join(f"{columns[name]} AS {name}" for name in ("unit", *columns_of(Addresses)))
    names = [f"m.{name}" for name in URIS if name in manifest.filled]
    condition = " OR ".join(["l.redacted", *(f"coalesce({has_credentials(name)}, false)" for name in names)])
    # A unit may have more variants than those of this run, and more photos than its --limit.
    rows = f"{EVERY_PHOTO} m JOIN {LEFT_ROWS} l USING (photo_id) WHERE {condition} ORDER BY l.position, l.key"
    path = database.folder / "addresses.parquet"
    database.run(f"COPY (SELECT {selected} FROM {rows}) TO {literal(str(path))} (FORMAT parquet)")
    return path
