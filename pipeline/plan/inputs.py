"""Check before a run that the buckets of its photos can be read with the credentials of this machine."""

import logging
from concurrent.futures import ThreadPoolExecutor

from pipeline import storage
from pipeline.errors import StorageError
from pipeline.plan.remaining import LEFT_ROWS
from pipeline.storage import CLOUD_SCHEMES
from pipeline.storage.database import Database, literal

LOGGER = logging.getLogger("photo2anime.plan")

MOST_BUCKETS = 64  # that are checked: those with the most files
_REQUESTS = 16  # that wait for an answer at the same time
_URIS = "list_concat([uri, mask_uri, reference_uri], list_transform(coalesce(map_uris, []), lambda entry: entry.uri))"
_BUCKET = f"regexp_extract({{}}, '^({'|'.join(sorted(CLOUD_SCHEMES))})://[^/]*')"


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
