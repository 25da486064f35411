"""Every read and write of the project: fsspec addresses, one atomic put, retries, and no secret in a message.

Knows nothing of photos. A local path is an address too. Errors of the cloud libraries leave this file as
`StorageFault`; `attempt` alone lets them through, for the step that records them per photo.
"""

import errno
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from pipeline.atomic import put_file
from pipeline.faults import OutputFault, StorageFault

T = TypeVar("T")

ATTEMPTS = 3
WEB_SCHEMES = frozenset({"http", "https"})
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az", "abfss": "az", "adl": "az"}
# Errors of storage that are no OSError, by the module that defines them: looked up only where it is loaded.
_FOREIGN_ERRORS = (
    ("aiohttp", "ClientError"),
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("gcsfs.retry", "HttpError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("azure.core.exceptions", "AzureError"),
)
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FINAL_NUMBERS = (*_FULL, errno.EROFS, errno.ENAMETOOLONG, errno.EINVAL)
_AGAIN_STATUS = (408, 425, 429)  # HTTP 4xx answers that ask for another try


def errors() -> tuple[type[Exception], ...]:
    """Return the classes that storage libraries raise, of those libraries that are loaded; for an `except`."""
    known = (getattr(sys.modules.get(module), name, None) for module, name in _FOREIGN_ERRORS)
    return (OSError, *(error for error in known if error is not None))


def transient(error: BaseException) -> bool:
    """Tell whether another try may succeed."""
    if isinstance(error, _FINAL) or getattr(error, "errno", None) in _FINAL_NUMBERS:
        return False
    if _lacks_credentials(error):
        return False
    status = getattr(error, "status", None) or getattr(error, "code", None) or 500
    return not (isinstance(status, int) and 400 <= status < 500 and status not in _AGAIN_STATUS)  # noqa: PLR2004 - HTTP


def attempt(function: Callable[[], T]) -> T:
    """Call `function`, and again up to `ATTEMPTS` times for faults that pass; the last error is raised."""
    retrying = Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.2, max=5),
        retry=retry_if_exception(lambda error: isinstance(error, errors()) and transient(error)),
        reraise=True,
    )
    return retrying(function)


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
    """Return fsspec's file system of `uri` and the path within it. Raises `StorageFault` for an unknown scheme."""
    scheme = uri.partition("://")[0]
    try:
        fs, path = fsspec.core.url_to_fs(uri)
    except ImportError as error:
        extra = _EXTRAS.get(scheme)
        mend = f"Install it: pip install 'photo2anime[{extra}]'." if extra else f"It needs another package: {error}"
        message = f"{redact(uri)}: the file system {scheme!r} is not installed"
        raise StorageFault(message, mend) from error
    except ValueError as error:
        message = f"{redact(uri)}: {redact_text(str(error))}"
        raise StorageFault(message, "Write a local path, s3://, gs:// or az://.") from error
    except errors() as error:
        raise as_fault(error, uri) from error
    return fs, path


def read(uri: str) -> bytes:
    """Return the content of a file."""
    with translated(uri):
        return attempt(lambda: read_once(uri))


def read_once(uri: str) -> bytes:
    """Return the content of a file in one try, with the storage library's own errors."""
    fs, path = filesystem(uri)
    content: bytes = fs.cat_file(path)
    return content


def read_if_there(uri: str) -> bytes | None:
    """Return the content of a file; None where there is no such file."""
    with translated(uri):
        try:
            return attempt(lambda: read_once(uri))
        except FileNotFoundError:
            return None


def put(uri: str, content: bytes) -> None:
    """Write a file whole or not at all: locally by a temporary file and a rename, elsewhere by one PUT."""
    fs, path = filesystem(uri)
    with translated(uri):
        if isinstance(fs, LocalFileSystem):
            attempt(lambda: put_file(Path(path), content))
        else:
            attempt(lambda: fs.pipe_file(path, content))


def read_table(uri: str, columns: list[str] | None = None) -> pa.Table:
    """Return a Parquet file as a table, or these of its columns in this order.

    pyarrow's errors are the caller's, who knows what the file should be, and so is the `KeyError` of a column.
    """
    # Of Arrow's own memory, in this thread, and not by its datasets: other threads that hold Python's objects abort a
    # process that ends (https://github.com/apache/arrow/issues/34314), on a busy machine every fifth.
    table = pq.ParquetFile(pa.BufferReader(read(uri)), pre_buffer=False).read(columns, use_threads=False)
    return table.select(columns) if columns else table


def put_table(uri: str, table: pa.Table) -> None:
    """Put a table as one Parquet file."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    put(uri, buffer.getvalue())


def names(folder: str) -> list[str]:
    """Return the sorted names of the files directly in `folder`; none where there is no such folder."""
    return sorted(name for name in files(folder, depth=1) if "/" not in name)


def files(folder: str, depth: int | None = None) -> dict[str, dict[str, Any]]:
    """Return the files below `folder`: their path relative to it, and what fsspec knows of each (size, etag, …)."""
    fs, root = filesystem(folder)
    with translated(folder):
        fs.invalidate_cache()
        found = attempt(lambda: fs.find(root, maxdepth=depth, detail=True))
    prefix = root.rstrip("/") + "/"
    return {path.removeprefix(prefix): info for path, info in found.items() if path.startswith(prefix)}


def exists(uri: str) -> bool:
    """Tell whether there is a file or a folder at `uri`."""
    fs, path = filesystem(uri)
    with translated(uri):
        fs.invalidate_cache()
        return bool(attempt(lambda: fs.exists(path)))


def is_folder(uri: str) -> bool:
    """Tell whether `uri` is a folder."""
    fs, path = filesystem(uri)
    with translated(uri):
        fs.invalidate_cache()
        return bool(attempt(lambda: fs.isdir(path)))


def remove(uri: str) -> None:
    """Delete one file; it is no error where there is none."""
    fs, path = filesystem(uri)
    with translated(uri):
        try:
            attempt(lambda: fs.rm_file(path))
        except FileNotFoundError:
            return


@contextmanager
def translated(uri: str) -> Iterator[None]:
    """Turn whatever a storage library raises over `uri` into a `StorageFault` of one line."""
    try:
        yield
    except errors() as error:
        raise as_fault(error, uri) from error


def as_fault(error: BaseException, uri: str) -> StorageFault | OutputFault:
    """Return the fault that says what `error` means for `uri` and how to mend it."""
    where = redact(uri)
    kind = type(error).__name__
    if getattr(error, "errno", None) in _FULL:
        return OutputFault(f"{where}: no space left", "Free some, or write elsewhere; the same command goes on.")
    if _lacks_credentials(error):
        message = f"{where}: no credentials ({kind}: {redact_text(str(error))})"
        return StorageFault(message, "Set them in the environment, as the cloud's own command line expects.")
    if isinstance(error, FileNotFoundError):
        return StorageFault(f"{where}: not found", "Check the address.")
    if isinstance(error, PermissionError):
        return StorageFault(f"{where}: not allowed ({redact_text(str(error))})", "Check the rights of this account.")
    return StorageFault(f"{where}: {kind}: {redact_text(str(error))}", "Check the address and the network.")


def redact(uri: str) -> str:
    """Return `uri` without what may be a secret: a login, and the query where signatures stand.

    Never fails, whatever the text. A name such as `abfss://container@account` is no login, since it has no password,
    and an object's name may hold `#` or `?`.
    """
    scheme, mark, rest = uri.partition("://")
    if not mark:
        return uri
    place, slash, path = rest.partition("/")
    login, at, host = place.rpartition("@")
    web = scheme.lower() in WEB_SCHEMES
    shown = host if at and (web or ":" in login) else place
    cut = re.split(r"[?#]" if web else r"\?(?=[\w.~-]+=)", f"{shown}{slash}{path}", maxsplit=1)[0]
    return f"{scheme}{mark}{cut}"


def redact_text(text: str) -> str:
    """Return `text` with every address in it redacted."""
    return re.sub(r"[\w+.-]+://[^\s'\"<>)\]}]+", lambda match: redact(match.group()), text)


def redact_all(value: Any) -> Any:  # noqa: ANN401 - any tree of JSON
    """Return a tree of dictionaries and lists with every text in it redacted."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, dict):
        return {key: redact_all(entry) for key, entry in value.items()}
    return [redact_all(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def check_credentials(uri: str) -> None:
    """Raise `StorageFault` where the account's credentials for `uri` are missing; the file itself may be missing."""
    fs, path = filesystem(uri)
    try:
        fs.info(path)
    except errors() as error:
        if _lacks_credentials(error):
            raise as_fault(error, uri) from error


def sweep(folder: str) -> None:
    """Remove what a process that was killed left half written directly in a local folder."""
    path = local_path(folder)
    if path is not None:
        for stale in path.glob(".*.part"):
            stale.unlink(missing_ok=True)


def _lacks_credentials(error: BaseException) -> bool:
    return any(word in type(error).__name__ for word in ("Credentials", "GoogleAuth", "ClientAuthentication"))
