"""Read the bytes of a photo, and of the maps, the mask and the reference image that the manifest provides for it.

The manifest may come from an untrusted source. The run therefore lists the schemes that are allowed, and web addresses
must belong to public hosts unless the run allows private ones.
"""

import hashlib
import ipaddress
import socket
from datetime import UTC, datetime
from pathlib import PurePath
from urllib.parse import urlsplit

from pipeline import storage
from pipeline.errors import (
    CredentialsMissingError,
    EmptyFileError,
    FetchFailedError,
    FileMissingError,
    InvalidUriError,
    MissingUriError,
    PrivateAddressError,
    SchemeNotAllowedError,
    StorageError,
    SupersededError,
)
from pipeline.steps.row_step import record_on_error
from schemas.row_parts import ProvidedFile, Source, Timing
from schemas.work import Fetched, Planned

FETCH_THREADS = 16  # files that one process requests at once, because a request mostly waits for the network


def fetch(row: Planned, allowed: frozenset[str]) -> Fetched:
    """Read the files of one row.

    Args:
        row: A row of the plan.
        allowed: The allowed schemes, `file` for local files, and `private` for web addresses of private hosts.

    Raises:
        FetchError: A file cannot be read, its address is not allowed or lacks its credentials, or a later plan
            replaced the row.
    """
    if row.superseded:
        raise SupersededError("plan: a later plan replaced or removed the row", retryable=True)
    if row.redacted:
        raise CredentialsMissingError("manifest: no address with the credentials of the photo", retryable=True)
    started = datetime.now(UTC)
    photo, attempts = _read(row.uri, allowed)
    source = Source(hashlib.sha256(photo).hexdigest(), len(photo))
    timing = Timing(started, attempts)
    with record_on_error(source=source, timing=timing):
        provided = (ProvidedFile(file.detector, file.uri, _read(file.uri, allowed)[0]) for file in row.map_uris or ())
        return Fetched(
            planned=row,
            timing=timing,
            source=source,
            photo=photo,
            provided=tuple(provided),
            mask=_read(row.mask_uri, allowed)[0] if row.mask_uri else None,
            reference=_read(row.reference_uri, allowed)[0] if row.reference_uri else None,
        )


def _read(uri: str | None, allowed: frozenset[str]) -> tuple[bytes, int]:
    """Return the content of a file, and the number of attempts."""
    if not uri:
        raise MissingUriError("manifest: the photo has no uri")
    _check_allowed(uri, allowed)
    redacted, attempts = storage.redact(uri), 0

    def read_once() -> bytes:
        nonlocal attempts
        attempts += 1
        return storage.read_once(uri)

    try:
        content = storage.with_retries(read_once)
    except FileNotFoundError as error:
        raise FileMissingError(f"{redacted}: not found", attempts=attempts) from error
    except storage.storage_errors() as error:
        # Not the repr of the error, because that of aiohttp contains the headers of the request.
        reason = storage.redact_text(f"{type(error).__name__}: {error}", uri)
        retryable = storage.is_transient(error)
        raise FetchFailedError(f"{redacted}: {reason}", retryable=retryable, attempts=attempts) from error
    except (StorageError, ValueError) as error:  # ValueError: invalid URLs and null bytes
        raise InvalidUriError(f"{redacted}: invalid address ({storage.redact_text(str(error), uri)})") from error
    if not content:
        raise EmptyFileError(f"{redacted}: the file is empty", attempts=attempts)
    return content, attempts


def _check_allowed(uri: str, allowed: frozenset[str]) -> None:
    """Raise an error for an address that the run does not allow."""
    scheme = "file" if PurePath(uri).is_absolute() or "://" not in uri else uri.partition("://")[0]
    if "::" in uri and "://" in uri:  # a local path without a scheme may contain `::`
        raise SchemeNotAllowedError(f"{storage.redact(uri)}: chained addresses are not allowed")
    if scheme not in allowed:
        raise SchemeNotAllowedError(f"{storage.redact(uri)}: {scheme!r} addresses are not allowed (--allow {scheme})")
    if scheme in storage.WEB_SCHEMES and "private" not in allowed and _is_private(_host(uri)):
        raise PrivateAddressError(f"{storage.redact(uri)}: private address (--allow private)")


def _host(uri: str) -> str:
    try:
        return urlsplit(uri).hostname or ""
    except ValueError as error:
        raise InvalidUriError(f"{storage.redact(uri)}: invalid address ({error})") from error


def _is_private(host: str) -> bool:
    """Return whether a host has an IP address that is not public. If DNS fails, returns False: reading fails later."""
    try:
        addresses = socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        return False
    return any(not ipaddress.ip_address(address[4][0]).is_global for address in addresses)
