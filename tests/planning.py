"""Plans of small manifests for tests: the real planning, with the result in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline import storage
from pipeline.output import plan_store
from pipeline.output.plan_store import StoredPlan
from pipeline.plan import plan
from pipeline.plan.manifest import open_manifest
from pipeline.plan.plan import Planning
from pipeline.plan.remaining import RemainingWork, remaining_work, store_plan
from pipeline.recipes.load import load_recipe
from pipeline.storage.database import Database, open_database
from schemas.arrow import to_rows
from schemas.recipe import Recipe
from schemas.work import PLAN, PlanRow

RECIPE = load_recipe("demo")


def manifest_of(ids: list[str], **columns: Any) -> pa.Table:
    """Return a manifest of photos with these ids."""
    return pa.table({"photo_id": ids, "uri": [f"/photos/{name}" for name in ids]} | columns)


@contextmanager
def planning_of(
    table: pa.Table, recipe: Recipe = RECIPE, variants: int = 1, limit: int | None = None
) -> Iterator[Planning]:
    """Open a manifest that is given as a table."""
    with open_database() as database:
        yield reopen(database, table, recipe, variants, limit)


def reopen(
    database: Database, table: pa.Table, recipe: Recipe = RECIPE, variants: int = 1, limit: int | None = None
) -> Planning:
    """Open a manifest in a database, instead of the one that is open."""
    path = str(database.folder / "m.parquet")
    storage.put_table(path, table)
    return plan.open_planning(database, open_manifest(path, database, limit), recipe, variants)


def planned(table: pa.Table, recipe: Recipe = RECIPE, variants: int = 1, size: int | None = None) -> pa.Table:
    """Return the rows of the plan of a new output, in their order."""
    with planning_of(table, recipe, variants) as planning:
        new = plan.plan_new_rows(planning, [], size)
        assert new is not None
        return rows_of([new.stored()])


def planned_rows(table: pa.Table, recipe: Recipe = RECIPE, variants: int = 1) -> list[PlanRow]:
    """Return the rows of the plan of a new output, in their order."""
    return to_rows(planned(table, recipe, variants), PlanRow)


def rows_of(plans: list[StoredPlan]) -> pa.Table:
    """Return the rows of plans in the order of their files."""
    tables = [storage.read_table(storage.join(each.uri, name), PLAN.names) for each in plans for name in each.files]
    return pa.concat_tables([PLAN.empty_table(), *(table.cast(PLAN) for table in tables)])


def plan_into(
    output: Path, table: pa.Table, variants: int = 1, size: int | None = None, recipe: Recipe = RECIPE
) -> RemainingWork:
    """Add the new rows of a manifest to the plans of an output. Returns the work that is left."""
    with planning_of(table, recipe, variants) as planning:
        plans = plan_store.read_plans(str(output))
        new = plan.plan_new_rows(planning, plans, size)
        work = remaining_work(planning, plans, new, str(output))
        return store_plan(work, new, str(output))
