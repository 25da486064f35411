"""Read the bytes of a photo, and of the maps, the mask and the reference image that the manifest provides for it.

The manifest may come from an untrusted source. The run therefore lists the schemes that are allowed, web addresses must
belong to public hosts unless the run allows private ones, and time and size of a file are limited.
"""

import hashlib
import ssl
import time
from datetime import UTC, datetime
from pathlib import PurePath

import aiohttp

from pipeline import storage
from pipeline.errors import (
    CredentialsMissingError,
    EmptyFileError,
    FetchFailedError,
    FetchTimeoutError,
    FileMissingError,
    InvalidUriError,
    MissingUriError,
    PhotoError,
    PrivateAddressError,
    RunStoppedError,
    SchemeNotAllowedError,
    StorageError,
    SupersededError,
    describe_exception,
    shorten,
)
from pipeline.steps.row_step import record_on_error
from pipeline.storage.addresses import is_web_address
from pipeline.storage.limited_read import read_limited
from pipeline.storage.limits import Access
from pipeline.storage.retry import has_invalid_credentials, is_denied, lacks_credentials
from schemas.row_parts import ProvidedFile, Source, Timing
from schemas.work import Fetched, Planned

MOST_CHARACTERS = 16_384  # of an address; signed addresses of clouds have up to 4,000
_SHOWN = 100  # characters of a longer address in a message


def fetch(row: Planned, access: Access) -> Fetched:
    """Read the files of one row.

    Args:
        row: A row of the plan.
        access: What the manifest may name.

    Raises:
        FetchError: A file cannot be read, its address is not allowed or lacks its credentials, or a later plan
            replaced the row.
        StorageAccessError: The storage refused the credentials of the environment, for example because they expired.
    """
    if row.superseded:
        raise SupersededError("plan: a later plan replaced or removed the row", retryable=True)
    if row.redacted:
        raise CredentialsMissingError("manifest: no address with the credentials of the photo", retryable=True)
    started = datetime.now(UTC)
    photo, attempts = _read(row.uri, access)
    source = Source(hashlib.sha256(photo).hexdigest(), len(photo))
    timing = Timing(started, attempts)
    with record_on_error(source=source, timing=timing):
        provided = (ProvidedFile(file.detector, file.uri, _read(file.uri, access)[0]) for file in row.map_uris or ())
        return Fetched(
            planned=row,
            timing=timing,
            source=source,
            photo=photo,
            provided=tuple(provided),
            mask=_read(row.mask_uri, access)[0] if row.mask_uri else None,
            reference=_read(row.reference_uri, access)[0] if row.reference_uri else None,
        )


def _read(uri: str | None, access: Access) -> tuple[bytes, int]:
    """Return the content of a file, and the number of attempts."""
    if not uri:
        raise MissingUriError("manifest: the photo has no uri")
    if len(uri) > MOST_CHARACTERS:
        raise InvalidUriError(f"{shorten(storage.redact(uri), _SHOWN)}: longer than {MOST_CHARACTERS} characters")
    _check_allowed(uri, access.allowed)
    limits, attempts = access.limits, 0
    deadline = time.monotonic() + limits.total_seconds

    def read_once() -> bytes:
        nonlocal attempts
        attempts += 1
        return read_limited(uri, limits, deadline)

    try:
        content = storage.with_retries(read_once, limits.total_seconds)
    except (MemoryError, RunStoppedError):  # the latter of a signal
        raise
    except Exception as error:
        # Every other photo of the bucket would fail too, unless the address has its own credentials.
        if has_invalid_credentials(error) and storage.redact(uri) == uri:
            raise storage.as_error(error, uri) from error
        result = _fetch_error(error, uri)
        result.attempts = attempts
        raise result from error
    if not content:
        raise EmptyFileError(f"{storage.redact(uri)}: the file is empty", attempts=attempts)
    return content, attempts


def _fetch_error(error: Exception, uri: str) -> PhotoError:
    """Return the error of a photo for an exception that was raised while its file was read."""
    redacted = storage.redact(uri)
    if isinstance(error, PrivateAddressError):  # possibly of a redirect
        return PrivateAddressError(f"{redacted}: leads to {error}")
    if isinstance(error, PhotoError):
        return error
    if isinstance(error, FileNotFoundError):
        return FileMissingError(f"{redacted}: not found")
    # ValueError: invalid URLs and null bytes. The error of an invalid certificate is one too.
    if isinstance(error, StorageError | ValueError) and not isinstance(error, ssl.SSLError | aiohttp.ClientSSLError):
        return InvalidUriError(f"{redacted}: invalid address ({storage.redact_message(str(error), uri)})")
    # Not the repr of the error, because that of aiohttp contains the headers of the request.
    reason = storage.redact_message(describe_exception(error), uri)
    error_class = FetchTimeoutError if isinstance(error, TimeoutError) else FetchFailedError
    # The rights of an account may be changed, but a web server that refuses a request will do it again.
    refused = is_denied(error) or lacks_credentials(error)
    retryable = storage.is_transient(error) or (refused and not is_web_address(uri))
    return error_class(f"{redacted}: {reason}", retryable=retryable)


def _check_allowed(uri: str, allowed: frozenset[str]) -> None:
    """Raise an error for an address whose scheme the run does not allow."""
    scheme = "file" if PurePath(uri).is_absolute() or "://" not in uri else uri.partition("://")[0]
    # A local path without a scheme may contain `::`, and so may a web address, which fsspec does not read.
    if "::" in uri and "://" in uri and scheme not in storage.WEB_SCHEMES:
        raise SchemeNotAllowedError(f"{storage.redact(uri)}: chained addresses are not allowed")
    if scheme not in allowed:
        raise SchemeNotAllowedError(f"{storage.redact(uri)}: {scheme!r} addresses are not allowed (--allow {scheme})")
