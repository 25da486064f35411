"""Rows of the manifest times variants, cut into units: written once as Parquet before work, and never changed.

A row of the plan is known by its key, the hash of all that decides its picture. What is planned is not planned
again: new photos, and photos whose content changed, make a further plan beside the first.
"""

import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.images.geometry import nearest_bucket
from pipeline.output.plan_store import hash_json, superseded_keys
from pipeline.plan.manifest import extra_columns
from pipeline.recipes.prompts import PROMPT_COLUMNS, PromptRenderer
from schemas.recipe import Recipe
from schemas.work import PLAN, Row

SEED_BITS = 63  # what torch.Generator takes as a positive number
UNIT_SIZE = 32
URI_COLUMNS = ("uri", "mask_uri", "reference_uri", "map_uris")
_DECIDING = ("photo_id", "pose_keypoints", "boxes", "keypoints", "prompt", "negative_prompt", "recipe_digest")
FEWEST_UNITS = 12  # of a small plan: so that its work spreads, and little is done again after a stop


@dataclass(frozen=True)
class RemainingWork:
    """What a run has to do: the plan's units that are not done, by name, and how many of its rows are done already."""

    units: dict[str, pa.Table]
    done_rows: int

    @property
    def rows(self) -> int:
        """How many pictures are to be made."""
        return sum(unit.num_rows for unit in self.units.values())


def plan_rows(manifest: pa.Table, recipe: Recipe, variants: int) -> list[Row]:
    """Return one row of `schemas.work.PLAN` for each photo and variant, still without a unit, with their true uris.

    Raises `ManifestError` where a prompt of the recipe names no column.
    """
    prompts = PromptRenderer(recipe, _with_values(manifest))
    further, digest, buckets = extra_columns(manifest, recipe.detectors), recipe.digest, recipe.buckets
    rows = []
    for batch in manifest.to_batches(max_chunksize=10_000):
        for photo in batch.to_pylist():
            shared = _photo_columns(photo, recipe, further) | {"recipe_digest": digest}
            if photo["width"] and photo["height"]:
                shared["bucket"] = "{}x{}".format(*nearest_bucket((photo["width"], photo["height"]), buckets))
            rows += [_variant_columns(shared, photo, prompts, recipe.seed, variant) for variant in range(variants)]
    return rows


def _with_values(manifest: pa.Table) -> list[str]:
    """Return the columns that a prompt may name: those with anything in them, and the prompts themselves."""
    empty = {name for name in manifest.column_names if manifest[name].null_count == manifest.num_rows}
    return [
        name for name in manifest.column_names if name in PROMPT_COLUMNS or name not in empty or not manifest.num_rows
    ]


def plan_new_rows(rows: list[Row], known: pa.Table, size: int | None = None) -> pa.Table:
    """Return the plan of what is new in `rows` beside the plans `known`.

    A row that stands in `known` and was superseded there, because its photo or the recipe changed and now changed
    back, is planned again in its old unit: so it is current again, and what is done of it stays done.
    """
    old, planned = superseded_keys(known), set(known["key"].to_pylist())
    again = pa.array([row["key"] for row in rows if row["key"] in old], pa.string())
    returned = known.filter(pc.is_in(known["key"], again))
    return pa.concat_tables([cut_units([row for row in rows if row["key"] not in planned], size), returned])


def cut_units(rows: list[Row], size: int | None = None) -> pa.Table:
    """Return rows as a table of `PLAN`: sorted by bucket, cut into units named by what they hold, secrets left out."""
    rows = sorted(rows, key=lambda row: (row.get("bucket") or "", row["photo_id"], row["variant"]))
    photos = [list(variants) for _, variants in itertools.groupby(rows, key=lambda row: row["photo_id"])]
    widest = max((len(variants) for variants in photos), default=1)
    for members in _packed(photos, size or min(UNIT_SIZE, max(widest, len(rows) // FEWEST_UNITS))):
        name = unit_name([row["key"] for row in members])
        for row in members:
            row["unit"] = name
    return pa.Table.from_pylist([row | _without_secrets(row) for row in rows], PLAN)


def _packed(photos: list[list[Row]], size: int) -> Iterator[list[Row]]:
    """Yield at most `size` rows each time; variants of a photo share its maps: they stay together where they fit."""
    members: list[Row] = []
    for variants in photos:
        for start in range(0, len(variants), size):
            piece = variants[start : start + size]
            if len(members) + len(piece) > size:
                yield members
                members = []
            members = members + piece
    if members:
        yield members


def unit_name(keys: list[str]) -> str:
    """Return the name of the unit that holds exactly these keys."""
    return hash_json(*sorted(keys))[:16]


def remaining_work(plans: pa.Table, done: set[str], digest: str, rows: Iterable[Row]) -> RemainingWork:
    """Return the units of the recipe `digest` that are not in `done` and that this run's manifest still asks for.

    `rows` are the manifest's: they bring the true uris too, which the plan keeps without their secrets.
    """
    uris = {row["key"]: {name: row[name] for name in URI_COLUMNS} for row in rows}
    units: dict[str, dict[str, Row]] = {}  # by key, since a row that came back stands in two plans
    recorded: set[str] = set()
    for batch in plans.to_batches(max_chunksize=10_000):
        for row in batch.to_pylist():
            if row["unit"] in done:
                recorded |= {row["key"]} & uris.keys()
            elif row["recipe_digest"] == digest:
                units.setdefault(row["unit"], {})[row["key"]] = row | uris.get(row["key"], {})
    wanted = {name: list(rows.values()) for name, rows in units.items() if rows.keys() & uris.keys()}
    return RemainingWork({name: pa.Table.from_pylist(rows, PLAN) for name, rows in wanted.items()}, len(recorded))


def seed_of(run_seed: int, photo_id: str, variant: int) -> int:
    """Return a picture's seed: it depends on the recipe's seed, the photo's id and the variant, and nothing else."""
    return int(hash_json(run_seed, photo_id, variant), 16) >> (256 - SEED_BITS)


def _photo_columns(photo: Row, recipe: Recipe, further: list[str]) -> Row:
    carried = {name: photo[name] for name in further}
    brought = {settings.name: photo[f"{settings.name}_uri"] for settings in recipe.detectors}
    return {
        "photo_id": photo["photo_id"],
        "uri": photo["uri"],
        "map_uris": [{"detector": name, "uri": uri} for name, uri in brought.items() if uri] or None,
        **{name: photo[name] for name in ("mask_uri", "pose_keypoints", "boxes", "keypoints")},
        "reference_uri": photo["reference_uri"] if recipe.ip_adapter else None,
        "manifest": _carried_json(carried),
    }


def _variant_columns(shared: Row, photo: Row, prompts: PromptRenderer, run_seed: int, variant: int) -> Row:
    content = (photo["etag"], photo["modified"], photo["bytes"]) if photo["etag"] is None else (photo["etag"],)
    seed = seed_of(run_seed, photo["photo_id"], variant)
    row = shared | prompts.of(photo, seed)
    key = hash_json(*(row[name] for name in _DECIDING), *_without_secrets(shared).values(), *content, variant)
    return row | {"variant": variant, "key": key, "seed": seed}


def _carried_json(carried: Row) -> str:
    """Return a manifest's further columns as strict JSON: secrets left out, bytes as their digest, NaN as null."""

    def plain(value: object) -> object:
        if isinstance(value, bytes):
            return f"sha256:{hashlib.sha256(value).hexdigest()}"
        if isinstance(value, float) and not math.isfinite(value):
            return None
        if isinstance(value, dict):
            return {key: plain(entry) for key, entry in value.items()}
        return [plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value

    return json.dumps(plain(storage.redact_all(carried)), default=str, sort_keys=True, ensure_ascii=False)


def _without_secrets(row: Row) -> Row:
    """Return the `URI_COLUMNS` of a row without logins and queries."""
    maps = [each | {"uri": storage.redact(each["uri"])} for each in row["map_uris"] or []]
    uris = {name: storage.redact(row[name]) if row[name] else None for name in URI_COLUMNS if name != "map_uris"}
    return uris | {"map_uris": maps or None}
