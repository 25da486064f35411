"""Find what is left to do: the planned units of a manifest without the units that are done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from pipeline import storage
from pipeline.output import plan_store
from pipeline.output.plan_store import NewPlan, StoredPlan
from pipeline.plan.plan import Planning
from pipeline.plan.plan_columns import addresses, has_credentials, plan_columns
from pipeline.storage.database import literal
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
        addresses: A Parquet file with the columns of `schemas.work.Addresses` and the unit, in the order of `units`.
            It has the rows whose addresses have credentials, and is None if there are none.
    """

    units: pa.Table
    done_rows: int
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
    done: set[str],
    retried: Mapping[str, int],
) -> RemainingWork:
    """Find the units that are not done and contain a row of the manifest.

    Creates the view `left_rows` of the rows of these units.

    Args:
        planning: The rows of the manifest. If there are earlier plans, `plan_new_rows` was called before.
        plans: The earlier plans of the output.
        new: The plan of the rows that are new.
        done: The names of the units that are done.
        retried: The units among them that are processed again, and the numbers of their rows that are done.
    """
    wanted = _wanted_rows(planning) if plans else {}
    digest, left = planning.recipe.digest, []
    for plan in [*plans, *([new.stored()] if new else [])]:
        is_new = new is not None and plan.uri == str(new.folder)
        for unit in plan.units.to_pylist():
            name = unit["unit"]
            if unit["recipe_digest"] != digest or not (is_new or wanted.get(name)):
                continue
            if name not in done or name in retried:
                uri = storage.join(plan.uri, unit["part"])
                pending = unit["rows"] - retried.get(name, 0)
                left.append(
                    {"unit": name, "uri": uri, "start": unit["start"], "rows": unit["rows"], "pending": pending}
                )
    units = pa.Table.from_pylist([each | {"addresses": None} for each in left], UNITS)
    done_rows = sum(count for name, count in wanted.items() if name in done and name not in retried)
    _create_left_rows(planning, units)
    return RemainingWork(units, done_rows, _write_addresses(planning, units))


def store_plan(work: RemainingWork, new: NewPlan | None, output: str) -> RemainingWork:
    """Write a new plan to an output. Returns the work, whose units name the written files instead of temporary ones."""
    return work if new is None else work.moved(str(new.folder), plan_store.write_plan(output, new))


def _wanted_rows(planning: Planning) -> dict[str, int]:
    """Return the number of rows of the manifest in each unit of the earlier plans."""
    rows = f"SELECT unit FROM {plan_store.VIEW} SEMI JOIN wanted USING (key) WHERE NOT returned"
    return dict(planning.database.rows(f"SELECT unit, count(*) FROM ({rows}) GROUP BY unit"))


def _create_left_rows(planning: Planning, units: pa.Table) -> None:
    database = planning.database
    positions = units.select(["unit"]).append_column("position", pa.array(range(units.num_rows), pa.int64()))
    database.connection.register("left_units_arrow", positions)
    database.run("CREATE OR REPLACE TEMP TABLE left_units AS FROM left_units_arrow")
    database.connection.unregister("left_units_arrow")
    files = sorted(set(units["uri"].to_pylist()))
    if not files:
        database.run(f"CREATE OR REPLACE VIEW {LEFT_ROWS} AS SELECT *, 0 AS position FROM keyed WHERE false")
        return
    joined = f"FROM {database.parquet(files)} JOIN left_units USING (unit)"
    plan_store.create(f"CREATE OR REPLACE VIEW {LEFT_ROWS} AS {joined}", database)


def _write_addresses(planning: Planning, units: pa.Table) -> Path | None:
    """Write the addresses with credentials of the remaining rows to a temporary file."""
    manifest, database = planning.manifest, planning.database
    if not manifest.has_credentials or not units.num_rows:
        return None
    columns = {"key": plan_columns(manifest, planning.recipe)["key"]}
    columns |= addresses(manifest, planning.recipe, public=False)
    selected = ", ".join(f"{columns[name]} AS {name}" for name in columns_of(Addresses))
    names = [f"m.{name}" for name in URIS if name in manifest.filled]
    condition = " OR ".join(f"coalesce({has_credentials(name)}, false)" for name in names)
    variant = f"(SELECT unnest(range({planning.variants}))::INTEGER AS variant)"
    rows = f"SELECT {selected} FROM photos m CROSS JOIN {variant} WHERE {condition}"
    path = database.folder / "addresses.parquet"
    query = f"SELECT unit, a.* FROM ({rows}) a JOIN {LEFT_ROWS} USING (key) ORDER BY position, key"
    database.run(f"COPY ({query}) TO {literal(str(path))} (FORMAT parquet)")
    return path
