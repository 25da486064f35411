"""Plan a run in SQL: the photos of the manifest times variants, cut into units.

A plan never changes once it is written. Rows with new keys, such as those of added or changed photos, are written to an
additional plan. All queries work on files and temporary tables, so that a plan may be larger than the memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from pipeline import storage
from pipeline.images.geometry import nearest_bucket
from pipeline.output import plan_store, provenance
from pipeline.output.plan_files import index_units, write_rows
from pipeline.output.plan_store import NewPlan, StoredPlan
from pipeline.plan import manifest as manifests
from pipeline.plan.load_unit import planned_rows
from pipeline.plan.manifest import Manifest
from pipeline.plan.manifest_files import manifest_errors
from pipeline.plan.plan_columns import define_functions, photo_column, plan_columns, prompt_columns
from pipeline.recipes.prompts import PromptRenderer
from pipeline.storage.database import Database, identifier, open_database
from schemas.arrow import to_rows, to_table
from schemas.recipe import Recipe
from schemas.work import PLAN, PLANNED_UNITS, Planned, PlanRow

UNIT_SIZES = range(32, 513)  # rows of a unit, unless the plan is small
MIN_UNITS = 12  # the approximate number for a small plan, so that several processes share the work
MAX_UNITS = 20_000  # the approximate number for a large plan, so that its records are listed and read in seconds
PART_ROWS = 500_000  # rows of one file of a plan
UNIT_DIGITS = 16  # hexadecimal digits of the name of a unit


@dataclass(frozen=True)
class Planning:
    """The rows of a manifest and a recipe, as a view `keyed` of a database.

    The view has the columns of `schemas.work.PlanRow` but the unit.

    Attributes:
        database: The database.
        manifest: The manifest.
        recipe: The recipe.
        variants: The number of images of each photo.
    """

    database: Database
    manifest: Manifest
    recipe: Recipe
    variants: int


def open_planning(
    database: Database, manifest: Manifest, recipe: Recipe, variants: int, photos: str = manifests.VIEW
) -> Planning:
    """Create the view `keyed` of the photos in one of the views of the manifest."""
    define_functions(database)
    _create_photos(database, manifest, recipe, photos)
    columns = ", ".join(f"{each} AS {name}" for name, each in plan_columns(manifest, recipe).items())
    variant = f"(SELECT unnest(range({variants}))::INTEGER AS variant)"
    database.run(f"CREATE OR REPLACE VIEW keyed AS SELECT {columns} FROM photos m CROSS JOIN {variant}")
    return Planning(database, manifest, recipe, variants)


def plan_new_rows(
    planning: Planning, plans: Sequence[StoredPlan], size: int | None = None, *, drop_removed: bool = False
) -> NewPlan | None:
    """Plan the rows that are new, that are current again, or that were removed, in temporary files.

    A row is new if no earlier plan has its key. A row is current again if a photo or the recipe was changed and then
    changed back: an earlier plan has its key, but the last key of its photo and variant is another one. It is planned
    again in its old unit, and its image is reused. A row was removed if the manifest no longer has its photo and
    variant.

    Args:
        planning: The rows of the manifest.
        plans: The earlier plans of the output.
        size: The maximum number of rows in a unit. By default, it grows with the plan.
        drop_removed: Whether removed rows without an image are planned as such, so that they are no longer current. The
            view `records` must exist.

    Returns:
        The plan, or None if no row changes.

    Raises:
        ManifestError: A file of the manifest is damaged, or a value is out of range.
    """
    with manifest_errors(planning.manifest.uri):
        return _plan_new_rows(planning, plans, size, drop_removed=drop_removed)


def unit_size(rows: int, variants: int) -> int:
    """Return the number of rows in a unit: few for a small plan, and more for a large one."""
    large = max(UNIT_SIZES[0], -(-rows // MAX_UNITS))
    return min(large, UNIT_SIZES[-1], max(variants, rows // MIN_UNITS))


def _plan_new_rows(
    planning: Planning, plans: Sequence[StoredPlan], size: int | None, *, drop_removed: bool
) -> NewPlan | None:
    database = planning.database
    if plans:
        _find_new_rows(planning, plans)
        new = "SELECT photo_id, list_sort(list(variant)) AS variants FROM fresh GROUP BY photo_id"
        source = f"SELECT m.*, new.variants FROM photos m JOIN ({new}) new USING (photo_id)"
    else:
        source = f"SELECT m.*, range({planning.variants})::INTEGER[] AS variants FROM photos m"
    # The rows of one bucket are neighbours, and the order does not depend on that of the manifest.
    database.run(f"CREATE OR REPLACE TEMP TABLE sorted AS {source} ORDER BY bucket NULLS FIRST, photo_id")
    photos, rows, most = database.row(
        "SELECT count(*), coalesce(sum(len(variants)), 0), max(len(variants)) FROM sorted"
    )
    folder = database.folder / "plan"
    folder.mkdir()
    units = _write_parts(planning, folder, photos, size or unit_size(rows, most or 1), most or 1)
    if plans:
        _copy_rows(database, _RETURNED, folder / plan_store.RETURNED)
    if plans and drop_removed:
        with provenance.damage_reported():
            database.run("CREATE OR REPLACE TEMP TABLE images AS SELECT key FROM records WHERE status = 'done'")
        _copy_rows(database, _REMOVED, folder / plan_store.REMOVED)
    database.run("DROP TABLE sorted")
    planned = NewPlan(max((plan.number for plan in plans), default=0) + 1, folder, units)
    return planned if planned.stored().files else None


def _create_photos(database: Database, manifest: Manifest, recipe: Recipe, view: str) -> None:
    """Create the view `photos`: one of the manifest, with the bucket of each photo, or null if its size is unknown."""
    columns = ", ".join(f"m.{identifier(name)} AS {photo_column(name)}" for name in manifest.types)
    if not {"width", "height"} <= manifest.filled:
        source = f"SELECT {columns}, NULL::VARCHAR AS bucket FROM {view} m"
        database.run(f"CREATE OR REPLACE VIEW photos AS {source}")
        return
    known = f"SELECT DISTINCT width, height FROM {view} WHERE width > 0 AND height > 0"
    sizes, buckets = database.table(known), recipe.buckets
    pairs = zip(sizes["width"].to_pylist(), sizes["height"].to_pylist(), strict=True)
    names = [bucket_name(size, buckets) for size in pairs]
    database.connection.register("size_buckets", sizes.append_column("bucket", pa.array(names, pa.string())))
    database.run("CREATE OR REPLACE TEMP TABLE sizes AS FROM size_buckets")
    database.connection.unregister("size_buckets")
    join = f"{view} m LEFT JOIN sizes s ON m.width = s.width AND m.height = s.height"
    database.run(f"CREATE OR REPLACE VIEW photos AS SELECT {columns}, s.bucket FROM {join}")


def bucket_name(size: tuple[int, int], buckets: list[tuple[int, int]]) -> str:
    """Return the size of the canvas of a photo with a width and a height, as `WxH`."""
    return "{}x{}".format(*nearest_bucket(size, buckets))


def _find_new_rows(planning: Planning, plans: Sequence[StoredPlan]) -> None:
    """Create the tables `wanted`, `fresh` and `superseded`: rows of the manifest, new rows, and superseded keys."""
    database = planning.database
    database.run("CREATE OR REPLACE TEMP TABLE wanted AS SELECT photo_id, variant, key FROM keyed")
    plan_store.open_plans(list(plans), database)
    plan_store.create(
        f"CREATE OR REPLACE TEMP TABLE fresh AS FROM wanted ANTI JOIN {plan_store.VIEW} USING (key)", database
    )
    plan_store.find_superseded(list(plans), database)


# Each row is in one unit: that of the first plan in which its key was new.
_RETURNED = f"""
    SELECT * EXCLUDE (plan, change) FROM {plan_store.VIEW}
    SEMI JOIN (FROM wanted SEMI JOIN superseded USING (key)) USING (key) WHERE change = 'new'
    QUALIFY row_number() OVER (PARTITION BY key ORDER BY plan) = 1
"""
_REMOVED = f"""
    SELECT * EXCLUDE (plan, change) FROM {plan_store.VIEW}
    ANTI JOIN superseded USING (key) ANTI JOIN wanted USING (photo_id, variant)
    ANTI JOIN images USING (key) WHERE change = 'new'
"""


def _write_parts(planning: Planning, folder: Path, photos: int, size: int, most: int) -> pa.Table:
    """Write the table `sorted` to the files of a plan, and return the index of its units.

    Up to `size` variants of a photo stay in one unit, because they share its control maps.
    """
    database = planning.database
    per_unit, pieces = max(1, size // most), -(-most // size)
    step = max(1, PART_ROWS // (per_unit * most)) * per_unit
    columns = plan_columns(planning.manifest, planning.recipe)
    selected = ", ".join(f"{each} AS {name}" for name, each in columns.items())
    indexes = []
    for number, start in enumerate(range(0, photos, step)):
        photo = f"SELECT *, rowid AS photo FROM sorted WHERE rowid >= {start} AND rowid < {start + step}"
        position = "unnest(range(len(variants))) AS position"
        variant = f"SELECT * EXCLUDE (variants), unnest(variants) AS variant, {position} FROM ({photo})"
        place = f"(photo - {start}) // {per_unit} * {pieces} + position // {size} AS place"
        rows = f"SELECT {selected}, photo, {place} FROM ({variant}) m"
        name = f"left(sha256(string_agg(key, '' ORDER BY key)), {UNIT_DIGITS})"
        names = f"SELECT place, {name} AS unit FROM planned GROUP BY place"
        query = f"WITH planned AS MATERIALIZED ({rows}), names AS ({names}) SELECT {', '.join(PLAN.names)}"
        path = folder / plan_store.part_name(number)
        write_rows(database, f"{query} FROM planned JOIN names USING (place) ORDER BY place, photo, variant", path)
        indexes.append(index_units(database, path))
    return pa.concat_tables([PLANNED_UNITS.empty_table(), *indexes])


def _copy_rows(database: Database, query: str, path: Path) -> None:
    """Write the rows of a query that reads earlier plans to a file, unless there are none."""
    plan_store.create(f"CREATE OR REPLACE TEMP TABLE changed AS {query}", database)
    if database.row("SELECT count(*) FROM changed")[0]:
        write_rows(database, "FROM changed", path)
    database.run("DROP TABLE changed")


def plan_photos(uris: Sequence[str], recipe: Recipe) -> pa.Table:
    """Return a table of `Planned` rows, one variant of each photo, without units. Previews and benchmarks use it."""
    photos: dict[str, str] = {}
    for uri in dict.fromkeys(uris):
        name = storage.redact(uri)  # ids are not secret
        photos[name if name not in photos else f"{name} ({len(photos)})"] = storage.absolute(uri)
    manifest = pa.table({"photo_id": list(photos), "uri": list(photos.values())})
    with open_database() as database:
        path = str(database.folder / "photos.parquet")
        storage.put_table(path, manifest)
        opened = manifests.open_manifest(path, database)
        open_planning(database, opened, recipe, 1)
        columns = ", ".join("'' AS unit" if name == "unit" else identifier(name) for name in PLAN.names)
        order = "SELECT row_number() OVER () AS number, photo_id FROM manifest"
        query = f"SELECT {columns} FROM keyed JOIN ({order}) USING (photo_id) ORDER BY number"
        rows = to_rows(database.table(query).cast(PLAN), PlanRow)
    renderer = PromptRenderer(recipe, prompt_columns(opened, recipe))
    planned = (replace(row, uri=photos[row.photo_id], redacted=False) for row in planned_rows(rows, renderer))
    return to_table(list(planned), Planned)
