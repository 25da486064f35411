"""The bytes of a photo, and of the maps and the mask that the manifest brings for it.

Refuses what a manifest must not reach unless the run allows it: local files, private addresses, other schemes.
"""

import hashlib
import ipaddress
import socket
from datetime import UTC, datetime
from pathlib import PurePath
from urllib.parse import urlsplit

from pipeline import storage
from pipeline.errors import FetchError, StorageError
from schemas.work import Row


def fetch(row: Row, allowed: frozenset[str]) -> Row:
    """Add the bytes of the photo and of what comes with it, and the photo's digest.

    `allowed`: schemes, `file` for local files, `private` for private addresses. Raises `FetchError`.
    """
    row["started"] = datetime.now(UTC)
    photo, row["attempts"] = _bytes_of(row["uri"], allowed)
    row["photo_bytes"] = photo
    row["source_bytes"] = len(photo)
    row["source_sha256"] = hashlib.sha256(photo).hexdigest()
    brought = row["map_uris"] or []
    row["brought"] = [each | {"content": _bytes_of(each["uri"], allowed)[0]} for each in brought]
    for name in ("mask", "reference"):
        uri = row[f"{name}_uri"]
        row[f"{name}_bytes"] = _bytes_of(uri, allowed)[0] if uri else None
    return row


def _bytes_of(uri: str | None, allowed: frozenset[str]) -> tuple[bytes, int]:
    """Return the file's content, and how many attempts that took."""
    if not uri:
        message = "the manifest gives no uri"
        raise FetchError(message)
    where = storage.redact(uri)
    _refuse_forbidden(uri, allowed)
    attempts = 0

    def once() -> bytes:
        nonlocal attempts
        attempts += 1
        return storage.read_once(uri)

    try:
        content = storage.with_retries(once)
    except storage.storage_errors() as error:
        said = storage.redact_text(f"{type(error).__name__}: {error}")  # its repr may hold the request's headers
        what = "not found" if isinstance(error, FileNotFoundError) else said
        message = f"{where}: {what}"
        raise FetchError(message, retryable=storage.is_transient(error), attempts=attempts) from error
    except (StorageError, ValueError) as error:  # ValueError: an address that is none, or holds a zero byte
        message = f"{where}: no address that can be read ({storage.redact_text(str(error))})"
        raise FetchError(message) from error
    if not content:
        message = f"{where}: the file is empty"
        raise FetchError(message)
    return content, attempts


def _refuse_forbidden(uri: str, allowed: frozenset[str]) -> None:
    scheme = "file" if PurePath(uri).is_absolute() or "://" not in uri else uri.partition("://")[0]
    if "::" in uri or scheme not in allowed:
        named = "chained addresses are" if "::" in uri else f"{scheme!r} addresses are"
        message = f"{storage.redact(uri)}: {named} not allowed in this run (--allow {scheme})"
        raise FetchError(message)
    if scheme in storage.WEB_SCHEMES and "private" not in allowed and _is_private(_host(uri)):
        message = f"{storage.redact(uri)}: a private address (--allow private)"
        raise FetchError(message)


def _host(uri: str) -> str:
    try:
        return urlsplit(uri).hostname or ""
    except ValueError as error:
        message = f"{storage.redact(uri)}: no address that can be read ({error})"
        raise FetchError(message) from error


def _is_private(host: str) -> bool:
    """Tell whether any address of `host` is not a public one; a host that has none is left to the reading."""
    try:
        found = socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        return False
    return any(not ipaddress.ip_address(address[4][0]).is_global for address in found)
