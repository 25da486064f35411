"""Check before a run that the manifest names the files that the recipe needs, and that their buckets can be read."""

import logging
from concurrent.futures import ThreadPoolExecutor

from pipeline import storage
from pipeline.errors import MissingInputError, StorageError
from pipeline.images.labels import PERSON
from pipeline.plan.plan import Planning
from pipeline.plan.remaining import LEFT_ROWS, RemainingWork
from pipeline.storage import CLOUD_SCHEMES
from pipeline.storage.database import Database, literal
from schemas.recipe import Recipe

LOGGER = logging.getLogger("photo2anime.plan")

MOST_BUCKETS = 64  # that are checked: those with the most files
_REQUESTS = 16  # that wait for an answer at the same time
_URIS = "list_concat([uri, mask_uri, reference_uri], list_transform(coalesce(map_uris, []), lambda entry: entry.uri))"
_BUCKET = f"regexp_extract({{}}, '^({'|'.join(sorted(CLOUD_SCHEMES))})://[^/]*')"


def check_files(planning: Planning, work: RemainingWork) -> tuple[frozenset[str], bool]:
    """Check the buckets and the file columns of the remaining rows.

    Returns the detectors whose maps the manifest provides for all rows, and whether it names an image of a map.
    """
    if work.units.num_rows:
        check_buckets(planning.database)
    _check_inputs(planning, work)
    return _provided_detectors(planning), _has_map_files(planning)


def check_buckets(database: Database) -> None:
    """Request one file of each bucket of the remaining rows.

    A bucket without credentials is logged, because its photos will fail. A manifest may name any bucket, so that this
    does not prevent the conversion of the other photos.

    Raises:
        StorageError: Every remaining row needs a file of a bucket without credentials, or of an invalid one.
    """
    uris = f"SELECT unnest({_URIS}) AS uri FROM {LEFT_ROWS}"
    bucket = _BUCKET.format("uri")
    query = (
        f"SELECT {bucket}, min(uri) FROM ({uris}) WHERE {bucket} <> '' AND NOT contains(uri, '::')"
        f" GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT {MOST_BUCKETS}"
    )
    found = dict(database.rows(query))
    with ThreadPoolExecutor(_REQUESTS) as requests:
        errors = dict(zip(found, requests.map(_credentials_error, found.values()), strict=True))
    refused = {name: error for name, error in errors.items() if error is not None}
    if not refused:
        return
    if not _rows_without(list(refused), database):
        raise next(iter(refused.values()))
    for error in refused.values():
        LOGGER.warning("photos of this bucket will fail: %s", error)


def _credentials_error(uri: str) -> StorageError | None:
    """Return the error of an address that cannot be requested with the credentials of this machine."""
    try:
        storage.check_credentials(uri)
    except StorageError as error:
        return error
    return None


def _rows_without(buckets: list[str], database: Database) -> bool:
    """Return whether a remaining row needs no file of these buckets."""
    names = ", ".join(map(literal, buckets))
    of_row = f"list_transform({_URIS}, lambda each: {_BUCKET.format('each')})"
    query = f"SELECT count(*) FROM (FROM {LEFT_ROWS} WHERE NOT list_has_any({of_row}, [{names}]) LIMIT 1)"
    return bool(database.row(query)[0])


def _check_inputs(planning: Planning, work: RemainingWork) -> None:
    """Raise an error if the recipe needs masks or reference images, and no row has one."""
    recipe = planning.recipe
    needs_reference = recipe.ip_adapter is not None and not recipe.ip_adapter.reference
    if needs_reference and not _any_row_has(planning, work, "reference_uri"):
        raise MissingInputError(
            f"recipe {recipe.name}: ip_adapter.reference is not set, and the manifest has no reference_uri",
            "Set ip_adapter.reference, or give each photo a reference_uri.",
        )
    if recipe.mode == "inpaint" and recipe.region.of == "mask" and not _any_row_has(planning, work, "mask_uri"):
        raise MissingInputError(
            f"recipe {recipe.name}: mode inpaint paints what a mask covers, and the manifest has no mask_uri",
            "Give each photo a mask_uri, or set region.of to subject or background.",
        )


def _any_row_has(planning: Planning, work: RemainingWork, column: str) -> bool:
    """Return whether any row has a value in a column, or there are no rows."""
    return not work.units.num_rows or bool(planning.database.row(f"SELECT count({column}) FROM {LEFT_ROWS}")[0])


def _provided_detectors(planning: Planning) -> frozenset[str]:
    """Return the detectors that are not needed, because the manifest provides a map or the people for every row.

    With `fit: people`, a map alone does not replace a detector that may have to find the people to crop around.
    """
    recipe, finders = planning.recipe, _people_finders(planning.recipe)
    has_pose = "pose_keypoints IS NOT NULL"
    person = f"list_filter(boxes, lambda box: box.category = {literal(PERSON)})"
    has_people = f"coalesce(len({person}), 0) > 0"
    conditions = {}
    for settings in recipe.detectors:
        named = f"list_filter(map_uris, lambda entry: entry.detector = {literal(settings.name)})"
        has_map = f"coalesce(len({named}), 0) > 0" + (f" AND {has_people}" if settings.name in finders else "")
        conditions[settings.name] = f"({has_map})" + (f" OR {has_pose}" if settings.finds_people else "")
    if not conditions:
        return frozenset()
    provided = planning.database.row(
        f"SELECT {', '.join(f'bool_and({each})' for each in conditions.values())} FROM {LEFT_ROWS}"
    )
    return frozenset(name for name, every in zip(conditions, provided, strict=True) if every)


def _people_finders(recipe: Recipe) -> list[str]:
    """Return the detectors that may find the people to crop around: the first one with weights does."""
    names: list[str] = []
    for settings in recipe.pose_detectors if recipe.fit == "people" else ():
        names.append(settings.name)
        if settings.name not in recipe.may_be_blank:
            break
    return names


def _has_map_files(planning: Planning) -> bool:
    """Return whether the manifest names an image of a control map for a row that is left."""
    return bool(planning.database.row(f"SELECT count(*) FROM (FROM {LEFT_ROWS} WHERE len(map_uris) > 0 LIMIT 1)")[0])
