"""Plan a run: the rows of the manifest times variants, cut into units.

The key of a row is a hash of everything that decides its image. A plan never changes once it is written. Rows with new
keys, such as those of added or changed photos, are written to an additional plan.
"""

import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.errors import ColumnTypeError
from pipeline.images.geometry import nearest_bucket
from pipeline.output.plan_store import hash_json, superseded_keys
from pipeline.plan.manifest import check_manifest, extra_columns
from pipeline.recipes.prompts import PROMPT_COLUMNS, PromptRenderer
from schemas.arrow import to_rows, to_table
from schemas.recipe import Recipe
from schemas.row_parts import ManifestBox, MapUri, Points
from schemas.work import Planned

SEED_BITS = 63  # a seed is not negative, and fits in a column of type int64
UNIT_SIZE = 32  # rows
MIN_UNITS = 12  # the approximate number for a small plan, so that several processes share the work
CHUNK_ROWS = 10_000  # rows of a table that are converted at once


@dataclass(frozen=True)
class RemainingWork:
    """The units that a run has to process.

    Attributes:
        units: The tables of the units that are not done, by name.
        done_rows: The number of rows of this manifest and these variants whose unit is done.
    """

    units: dict[str, pa.Table]
    done_rows: int

    @property
    def rows(self) -> int:
        """The number of rows in these units."""
        return sum(unit.num_rows for unit in self.units.values())


def plan_rows(manifest: pa.Table, recipe: Recipe, variants: int) -> list[Planned]:
    """Return one row for each photo and variant, with an empty unit and the unchanged addresses of the manifest.

    Raises:
        ManifestError: A prompt of the recipe names a column that is missing or has no values, or a value is out of
            range.
        RecipePromptError: A prompt of the recipe has an invalid choice.
    """
    prompts = PromptRenderer(recipe, _columns_with_values(manifest))
    extra = extra_columns(manifest, recipe.detectors)
    planner = _RowPlanner(recipe, recipe.digest, recipe.buckets, extra, prompts)
    return [row for photo in _photos(manifest) for row in planner.rows_of(photo, variants)]


def _photos(manifest: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield the rows of a manifest. Raises `ColumnTypeError` for a value that Python cannot represent."""
    for batch in manifest.to_batches(max_chunksize=CHUNK_ROWS):
        try:
            photos = batch.to_pylist()
        except (pa.ArrowException, OverflowError, ValueError) as error:  # such as the year 300000
            raise ColumnTypeError(f"manifest: a value is out of range ({error})") from error
        yield from photos


def plan_photos(uris: Sequence[str], recipe: Recipe) -> pa.Table:
    """Return a plan of one variant of each photo, without units. Previews and benchmarks use it."""
    manifest = pa.table({"photo_id": list(uris), "uri": [storage.absolute(uri) for uri in uris]})
    return to_table(plan_rows(check_manifest(manifest, "photos"), recipe, 1), Planned)


def plan_new_rows(rows: Sequence[Planned], known: pa.Table, size: int | None = None) -> pa.Table:
    """Return the plan of the rows that are new, or that are current again.

    A row is new if no earlier plan has its key. A row is current again if a photo or the recipe was changed and then
    changed back: an earlier plan has its key, but the last key of its photo and variant is another one. It is planned
    again in its old unit, and its image is reused.

    Args:
        rows: The result of `plan_rows` for the manifest.
        known: The rows of all earlier plans.
        size: The maximum number of rows in a unit. Defaults to 32, or to fewer for a small plan.
    """
    old, planned = superseded_keys(known), set(known["key"].to_pylist())
    again = pa.array([row.key for row in rows if row.key in old], pa.string())
    returned = known.filter(pc.is_in(known["key"], again))
    return pa.concat_tables([cut_units([row for row in rows if row.key not in planned], size), returned])


def cut_units(rows: Iterable[Planned], size: int | None = None) -> pa.Table:
    """Return rows as a plan: sorted by bucket, cut into units, without the credentials of addresses."""
    rows = sorted(rows, key=lambda row: (row.bucket or "", row.photo_id, row.variant))
    photos = [list(variants) for _, variants in itertools.groupby(rows, key=lambda row: row.photo_id)]
    most_variants = max((len(variants) for variants in photos), default=1)
    planned: list[Planned] = []
    for members in _pack(photos, size or min(UNIT_SIZE, max(most_variants, len(rows) // MIN_UNITS))):
        name = unit_name([row.key for row in members])
        planned += [replace(row, unit=name, **_public_addresses(row)) for row in members]
    return to_table(planned, Planned)


def unit_name(keys: Iterable[str]) -> str:
    """Return the name of the unit that has exactly these keys."""
    return hash_json(*sorted(keys))[:16]


def remaining_work(plans: pa.Table, done: set[str], digest: str, rows: Iterable[Planned]) -> RemainingWork:
    """Return the units that are not done and contain a row of the manifest.

    Args:
        plans: The rows of all plans.
        done: Names of the units that are done.
        digest: The digest of the run's recipe; units of other recipes are left out.
        rows: The result of `plan_rows` for the manifest. Its addresses still have their credentials.
    """
    wanted = {row.key: row for row in rows}
    units: dict[str, dict[str, Planned]] = {}  # by key, because a row that was planned again is in two plans
    recorded: set[str] = set()
    for batch in plans.to_batches(max_chunksize=CHUNK_ROWS):  # most rows of a resumed run are done, and not kept
        for row in to_rows(pa.Table.from_batches([batch]), Planned):
            if row.unit in done:
                recorded |= {row.key} & wanted.keys()
            elif row.recipe_digest == digest:
                units.setdefault(row.unit, {})[row.key] = _with_addresses_of(row, wanted.get(row.key))
    left = {name: list(members.values()) for name, members in units.items() if members.keys() & wanted.keys()}
    return RemainingWork({name: to_table(members, Planned) for name, members in left.items()}, len(recorded))


def seed_of(run_seed: int, photo_id: str, variant: int) -> int:
    """Return the seed of an image, which depends on the recipe's seed, the photo's id and the variant only."""
    return int(hash_json(run_seed, photo_id, variant), 16) >> (256 - SEED_BITS)


@dataclass(frozen=True)
class _RowPlanner:
    """Plans one row for each variant of a photo."""

    recipe: Recipe
    digest: str  # of the recipe; computed once, because it takes longer than planning a row
    buckets: list[tuple[int, int]]
    extra: list[str]  # columns of the manifest that provenance keeps
    prompts: PromptRenderer

    def rows_of(self, photo: dict[str, Any], variants: int) -> Iterator[Planned]:
        """Yield the variants of one row of the manifest."""
        bucket, addresses = self._bucket(photo), self._addresses(photo)
        details = _json_columns({name: photo[name] for name in self.extra})
        for variant in range(variants):
            seed = seed_of(self.recipe.seed, photo["photo_id"], variant)
            prompts = self.prompts.of(photo, seed)
            yield Planned(
                unit="",
                photo_id=photo["photo_id"],
                variant=variant,
                key=_key(photo, addresses, prompts, self.digest, variant),
                seed=seed,
                bucket=bucket,
                recipe_digest=self.digest,
                **addresses,
                pose_keypoints=_points(photo["pose_keypoints"]),
                boxes=_boxes(photo["boxes"]),
                keypoints=_points(photo["keypoints"]),
                prompt=prompts["prompt"] or "",
                negative_prompt=prompts["negative_prompt"] or "",
                prompt_error=prompts["prompt_error"],
                manifest=details,
            )

    def _bucket(self, photo: dict[str, Any]) -> str | None:
        """Return the size of the photo's canvas, `WxH`, or None if the manifest does not have the photo's size."""
        if not photo["width"] or not photo["height"]:
            return None
        width, height = nearest_bucket((photo["width"], photo["height"]), self.buckets)
        return f"{width}x{height}"

    def _addresses(self, photo: dict[str, Any]) -> dict[str, Any]:
        map_uris = ((settings.name, photo[f"{settings.name}_uri"]) for settings in self.recipe.detectors)
        return {
            "uri": photo["uri"],
            "mask_uri": photo["mask_uri"],
            "reference_uri": photo["reference_uri"] if self.recipe.ip_adapter else None,
            "map_uris": tuple(MapUri(name, uri) for name, uri in map_uris if uri) or None,
        }


def _key(
    photo: dict[str, Any], addresses: dict[str, Any], prompts: dict[str, str | None], digest: str, variant: int
) -> str:
    """Return the hash of everything that decides an image."""
    content = (photo["etag"], photo["modified"], photo["bytes"]) if photo["etag"] is None else (photo["etag"],)
    labels = (photo[name] for name in ("pose_keypoints", "boxes", "keypoints"))
    public = _without_credentials(**addresses)
    maps = public["map_uris"] and [asdict(map_uri) for map_uri in public["map_uris"]]
    uris = (public["uri"], public["mask_uri"], public["reference_uri"], maps)
    texts = (prompts["prompt"], prompts["negative_prompt"])
    return hash_json(photo["photo_id"], *labels, *texts, digest, *uris, *content, variant)


def _columns_with_values(manifest: pa.Table) -> list[str]:
    """Return the columns that a prompt may name: the prompt columns, and the columns that have a value.

    For a manifest without rows, these are all columns.
    """
    empty = {name for name in manifest.column_names if manifest[name].null_count == manifest.num_rows}
    return [
        name for name in manifest.column_names if name in PROMPT_COLUMNS or name not in empty or not manifest.num_rows
    ]


def _pack(photos: list[list[Planned]], size: int) -> Iterator[list[Planned]]:
    """Yield groups of at most `size` rows. Up to `size` variants of a photo stay together, as they share its maps."""
    group: list[Planned] = []
    for variants in photos:
        for start in range(0, len(variants), size):
            piece = variants[start : start + size]
            if len(group) + len(piece) > size:
                yield group
                group = []
            group = group + piece
    if group:
        yield group


def _points(values: list[list[float] | None] | None) -> Points | None:
    return None if values is None else tuple(None if numbers is None else tuple(numbers) for numbers in values)


def _boxes(values: list[dict[str, Any] | None] | None) -> tuple[ManifestBox | None, ...] | None:
    return None if values is None else tuple(None if box is None else ManifestBox(**box) for box in values)


def _public_addresses(row: Planned) -> dict[str, Any]:
    return _without_credentials(row.uri, row.mask_uri, row.reference_uri, row.map_uris)


def _without_credentials(
    uri: str | None, mask_uri: str | None, reference_uri: str | None, map_uris: tuple[MapUri, ...] | None
) -> dict[str, Any]:
    """Return the address columns of a row without logins and queries."""
    return {
        "uri": storage.redact(uri) if uri else None,
        "mask_uri": storage.redact(mask_uri) if mask_uri else None,
        "reference_uri": storage.redact(reference_uri) if reference_uri else None,
        "map_uris": map_uris and tuple(MapUri(entry.detector, storage.redact(entry.uri)) for entry in map_uris),
    }


def _with_addresses_of(row: Planned, manifest_row: Planned | None) -> Planned:
    """Return a row of a plan with the addresses of the manifest, which still have their credentials."""
    if manifest_row is None:
        return row
    names = ("uri", "mask_uri", "reference_uri", "map_uris")
    return replace(row, **{name: getattr(manifest_row, name) for name in names})


def _json_columns(columns: dict[str, Any]) -> str:
    """Return columns of the manifest as strict JSON: without credentials, bytes as digest, NaN and infinity as null."""

    def plain(value: object) -> object:
        if isinstance(value, bytes):
            return f"sha256:{hashlib.sha256(value).hexdigest()}"
        if isinstance(value, float) and not math.isfinite(value):
            return None
        if isinstance(value, dict):
            return {key: plain(entry) for key, entry in value.items()}
        return [plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value

    return json.dumps(plain(storage.redact_all(columns)), default=str, sort_keys=True, ensure_ascii=False)
