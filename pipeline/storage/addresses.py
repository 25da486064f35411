"""Resolve addresses: local paths and fsspec URIs, and the file systems behind them."""

import os
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pipeline.errors import StorageError
from pipeline.storage.redaction import WEB_SCHEMES, redact, redact_text
from pipeline.storage.retry import as_error, storage_errors

CLOUD_SCHEMES = frozenset({"s3", "gs", "gcs", "az", "abfs", "abfss"})


PUBLIC_SCHEMES = CLOUD_SCHEMES | WEB_SCHEMES


_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az", "abfss": "az", "adl": "az"}


def join(root: str, *parts: str) -> str:
    """Return the address of `parts` below the folder `root`."""
    return "/".join([root.rstrip("/"), *parts])


def local_path(uri: str) -> Path | None:
    """Return the path of a local address, None for any other."""
    fs, path = filesystem(uri)
    return Path(path) if isinstance(fs, LocalFileSystem) else None


def absolute(uri: str) -> str:
    """Return `uri` in full: a local path absolute and without a scheme, any other with its own; no slash at the end."""
    fs, path = filesystem(uri)
    if isinstance(fs, LocalFileSystem):
        return os.path.abspath(path)  # noqa: PTH100 - it alone resolves `..` and leaves links alone
    return str(fs.unstrip_protocol(path)).rstrip("/")


def filesystem(uri: str) -> tuple[Any, str]:
    """Return fsspec's file system of `uri` and the path within it. Raises `StorageError` for an unknown scheme."""
    scheme = uri.partition("://")[0]
    try:
        fs, path = fsspec.core.url_to_fs(uri)
    except ImportError as error:
        extra = _EXTRAS.get(scheme)
        mend = f"Install it: pip install 'photo2anime[{extra}]'." if extra else f"It needs another package: {error}"
        message = f"{redact(uri)}: the file system {scheme!r} is not installed"
        raise StorageError(message, mend) from error
    except ValueError as error:
        message = f"{redact(uri)}: {redact_text(str(error))}"
        raise StorageError(message, "Write a local path, s3://, gs:// or az://.") from error
    except storage_errors() as error:
        raise as_error(error, uri) from error
    return fs, path
