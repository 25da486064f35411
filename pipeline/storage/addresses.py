"""Resolve addresses, which are local paths or fsspec URIs, to file systems.

`pipeline.steps.fetch` checks which addresses a manifest may name.
"""

import os
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pipeline.errors import RunStoppedError, UnsupportedSchemeError
from pipeline.storage.redaction import WEB_SCHEMES, redact, redact_message
from pipeline.storage.retry import as_error

CLOUD_SCHEMES = frozenset({"s3", "gs", "gcs", "az", "abfs", "abfss"})
PUBLIC_SCHEMES = CLOUD_SCHEMES | WEB_SCHEMES

# The extra (optional dependencies) of photo2anime that installs fsspec's file system for a scheme.
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az", "abfss": "az", "adl": "az"}

# By default, s3fs requests the size of each file before it reads the file, opens at most 10 connections, and waits for
# 60 seconds.
fsspec.config.conf["s3"] = {
    "max_concurrency": 1, "config_kwargs": {"max_pool_connections": 64, "connect_timeout": 10, "read_timeout": 30},
    **fsspec.config.conf.get("s3", {}),
}  # fmt: skip


def join(root: str, *parts: str) -> str:
    """Join a folder address and path components with slashes."""
    return "/".join([root.rstrip("/"), *parts])


def local_path(uri: str) -> Path | None:
    """Convert a local address to a path. Returns None for the address of any other file system."""
    fs, path = filesystem(uri)
    return Path(path) if isinstance(fs, LocalFileSystem) else None


def absolute(uri: str) -> str:
    """Convert an address to its absolute form, without a trailing slash.

    A local address becomes an absolute path without a scheme. Other addresses keep their scheme, or get the main scheme
    of their file system, such as `abfs://` for `az://`.
    """
    fs, path = filesystem(uri)
    if isinstance(fs, LocalFileSystem):
        return os.path.abspath(path)  # noqa: PTH100 - Path.absolute keeps `..`, and Path.resolve follows links
    return str(fs.unstrip_protocol(path)).rstrip("/")


def is_web_address(uri: str) -> bool:
    """Return whether an address names a file on a web server."""
    return uri.partition("://")[0].lower() in WEB_SCHEMES


def without_query(uri: str) -> str:
    """Return an address without the query of a web address. Other addresses may contain question marks."""
    return uri.partition("#")[0].partition("?")[0] if is_web_address(uri) else uri


def resolved(uri: str) -> str:
    """Convert an address to its absolute form, and follow the links of a local path."""
    path = local_path(uri)
    return absolute(uri) if path is None else os.path.realpath(path)


def filesystem(uri: str) -> tuple[Any, str]:
    """Resolve an address to its fsspec file system and the path within it.

    Raises:
        UnsupportedSchemeError: If the scheme is unknown, or its package is not installed.
        StorageError: If the file system cannot be opened, for example without credentials.
    """
    if "://" not in uri:  # a local path, in which fsspec would treat `::` as a chain of addresses
        return LocalFileSystem(), str(LocalFileSystem._strip_protocol(uri))  # noqa: SLF001 - as fsspec does it
    try:
        fs, path = fsspec.core.url_to_fs(uri)
    except ImportError as error:
        scheme = uri.partition("://")[0]
        extra = _EXTRAS.get(scheme)
        hint = f"Install it: pip install 'photo2anime[{extra}]'." if extra else f"Install its package ({error})."
        raise UnsupportedSchemeError(f"{redact(uri)}: the file system {scheme!r} is not installed", hint) from error
    except ValueError as error:
        raise UnsupportedSchemeError(f"{redact(uri)}: {redact_message(str(error), uri)}") from error
    except RunStoppedError:  # of a signal
        raise
    except Exception as error:
        raise as_error(error, uri) from error
    return fs, path
