"""Plan the rows of records whose plan is lost, so that they are not converted again.

The rows of a record are planned in its unit. Rows whose key the manifest has are those of the manifest. All other rows
are made from the columns of their record, which do not contain everything: labels, masks and credentials are missing.
These rows are marked as redacted, so that a retry without their manifest fails instead of making another image.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from pipeline.errors import DamagedOutputError, SupersededError
from pipeline.output import plan_store, provenance
from pipeline.output.plan_files import index_units, write_rows
from pipeline.output.plan_store import NewPlan, StoredPlan
from pipeline.plan import plan
from pipeline.plan.manifest import EVERY_PHOTO, Manifest
from pipeline.plan.manifest_files import manifest_errors
from pipeline.storage.database import Database, identifier, literal, sql_type
from schemas.recipe import Recipe
from schemas.work import PLAN, PLANNED_UNITS

_HINT = "Restore the file, or delete it, so that its rows are converted again."
_MAPS = (
    "list_transform(list_filter(r.controls, lambda each: each.origin = 'manifest' AND each.source_uri IS NOT NULL),"
    " lambda each: {detector: each.detector, uri: each.source_uri})"
)
# The columns of a plan from those of a record. A prompt of a recipe that contains {prompt} is not that of the manifest.
_REBUILT = {
    "photo_id": "r.photo_id",
    "variant": "r.variant",
    "key": "r.key",
    "seed": "coalesce(r.seed, 0)",
    "recipe_digest": "coalesce(r.recipe_digest, '')",
    "uri": "r.source_uri",
    "map_uris": f"CASE WHEN len({_MAPS}) > 0 THEN {_MAPS} END",
    "reference_uri": "r.reference_uri",
    "redacted": "true",
    "prompt": "CASE WHEN NOT contains(r.settings, '{prompt}') THEN r.prompt END",
    "negative_prompt": "CASE WHEN NOT contains(r.settings, '{negative_prompt}') THEN r.negative_prompt END",
    "manifest": "coalesce(r.manifest, '{}')",
}
# The recorded rows that no plan contains, each once: `verify` keeps the same one of several.
_CHOSEN = f"""
    SELECT file_unit, position, key, variant FROM records
    ANTI JOIN (SELECT key FROM {plan_store.VIEW} WHERE change = 'new') USING (key)
    WHERE unit = file_unit AND key <> '' AND photo_id IS NOT NULL AND variant IS NOT NULL
    QUALIFY 1 = row_number() OVER (
        PARTITION BY key ORDER BY status <> 'done', started DESC NULLS LAST, file_unit, position
    )
"""
# The photos and variants that have several keys, because the photo or the recipe was changed.
_VERSIONS = f"""
    FROM (
        SELECT photo_id, variant, key FROM recovered
        UNION
        SELECT photo_id, variant, key FROM {plan_store.VIEW} SEMI JOIN recovered USING (photo_id, variant)
        WHERE change = 'new'
    ) QUALIFY count(*) OVER (PARTITION BY photo_id, variant) > 1
"""
# The current key of these is the one that was converted last. A row that was superseded is recorded without an image.
_TIMES = f"""
    SELECT key, max({{
        converted: failure.code IS DISTINCT FROM {literal(SupersededError.code)},
        started: coalesce(started, TIMESTAMPTZ 'epoch'),
        key: key
    }}) AS time FROM records SEMI JOIN versions USING (key) GROUP BY key
"""
_CURRENT = f"""
    SELECT max_by(key, time) AS key FROM versions JOIN ({_TIMES}) USING (key) GROUP BY photo_id, variant
"""


def recover_plan(
    manifest: Manifest, recipe: Recipe, output: str, recorded: set[str], plans: Sequence[StoredPlan], database: Database
) -> NewPlan | None:
    """Plan the rows of the recorded units that are in no plan, in temporary files.

    Of several rows of one photo and variant, the one that was converted last is current. `plan_new_rows` then makes the
    row of the manifest current.

    Args:
        manifest: The manifest of the run.
        recipe: The recipe of the run.
        output: The address of the output.
        recorded: The units that had a record before the plans were read.
        plans: The plans of the output.
        database: The database of the manifest. Its views `keyed`, `records` and `plan` are replaced.

    Returns:
        The plan, or None if no row is recovered.

    Raises:
        DamagedOutputError: A record is damaged, or a plan or another record cannot be read.
        ManifestError: A file of the manifest is damaged, or a value is out of range.
    """
    lost = recorded.difference(*(each.units["unit"].to_pylist() for each in plans))
    if not lost:
        return None
    for text in provenance.damaged_records(output, lost, database).values():
        raise DamagedOutputError(text, _HINT)
    plan_store.open_plans(list(plans), database)
    provenance.open_records(output, lost, database)
    with provenance.damage_reported():
        database.run(f"CREATE OR REPLACE TEMP TABLE chosen AS {_CHOSEN}")
    if not database.row("SELECT count(*) FROM chosen")[0]:
        return None
    with manifest_errors(manifest.uri):
        _create_recovered(manifest, recipe, database)
    folder = database.folder / "recovered"
    folder.mkdir()
    units = pa.concat_tables([PLANNED_UNITS.empty_table(), *_write_parts(folder, database)])
    provenance.open_records(output, recorded, database)
    with provenance.damage_reported():
        _write_current(folder / plan_store.RETURNED, database)
    for name in ("recovered", "versions", "latest"):
        database.run(f"DROP TABLE {name}")
    return NewPlan(max((each.number for each in plans), default=0) + 1, folder, units)


def _create_recovered(manifest: Manifest, recipe: Recipe, database: Database) -> None:
    """Create the table `recovered` of the chosen rows with their positions in the records."""
    (variants,) = database.row("SELECT max(variant) + 1 FROM chosen")
    # Also rows of more variants than those of this run, and of photos beyond its --limit.
    plan.open_planning(database, manifest, recipe, variants, EVERY_PHOTO)
    names = [name for name in PLAN.names if name != "unit"]
    matched = ", ".join(f"k.{identifier(name)}" for name in names)
    rebuilt = ", ".join(
        f"{_REBUILT.get(name, 'NULL')}::{sql_type(PLAN.field(name).type)} AS {identifier(name)}" for name in names
    )
    # The small table is joined to the rows of the manifest, so that these are never in memory together.
    unit = "c.file_unit AS unit, c.position AS position"
    database.run(
        f"CREATE OR REPLACE TEMP TABLE matched AS SELECT {unit}, {matched} FROM keyed k JOIN chosen c ON k.key = c.key"
    )
    others = "(FROM chosen ANTI JOIN matched USING (key)) c"
    place = "r.file_unit = c.file_unit AND r.position = c.position"
    rows = f"FROM matched UNION ALL SELECT {unit}, {rebuilt} FROM records r JOIN {others} ON {place}"
    database.run(f"CREATE OR REPLACE TEMP TABLE recovered AS FROM ({rows}) ORDER BY unit, position")
    for name in ("chosen", "matched"):
        database.run(f"DROP TABLE {name}")


def _write_parts(folder: Path, database: Database) -> Iterator[pa.Table]:
    """Write the table `recovered` to the files of a plan, with complete units. Yields the index of each file."""
    sizes = database.rows("SELECT unit, count(*) FROM recovered GROUP BY unit ORDER BY unit")
    parts: list[list[str]] = []
    rows = plan.PART_ROWS
    for unit, size in sizes:
        if rows + size > plan.PART_ROWS:
            parts.append([])
            rows = 0
        parts[-1].append(unit)
        rows += size
    for number, units in enumerate(parts):
        path = folder / plan_store.part_name(number)
        condition = f"unit BETWEEN {literal(units[0])} AND {literal(units[-1])}"
        write_rows(database, f"FROM recovered WHERE {condition} ORDER BY unit, position", path)
        yield index_units(database, path)


def _write_current(path: Path, database: Database) -> None:
    """Write the current rows of the photos and variants that have several keys, unless there are none."""
    database.run(f"CREATE OR REPLACE TEMP TABLE versions AS {_VERSIONS}")
    database.run(f"CREATE OR REPLACE TEMP TABLE latest AS {_CURRENT}")
    if not database.row("SELECT count(*) FROM latest")[0]:
        return
    names = ", ".join(identifier(name) for name in PLAN.names)
    earlier = f"SELECT DISTINCT ON (key) {names} FROM {plan_store.VIEW} WHERE change = 'new' ORDER BY key, plan"
    rows = f"SELECT {names} FROM recovered UNION ALL ({earlier})"
    write_rows(database, f"FROM ({rows}) SEMI JOIN latest USING (key) ORDER BY key", path)
