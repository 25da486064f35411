"""Retry storage calls, and translate the errors of storage libraries."""

import errno
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from pipeline.errors import OutputError, StorageError
from pipeline.storage.redaction import redact, redact_text

T = TypeVar("T")


ATTEMPTS = 3


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


def storage_errors() -> tuple[type[Exception], ...]:
    """Return the classes that storage libraries raise, of those libraries that are loaded; for an `except`."""
    known = (getattr(sys.modules.get(module), name, None) for module, name in _FOREIGN_ERRORS)
    return (OSError, *(error for error in known if error is not None))


def is_transient(error: BaseException) -> bool:
    """Tell whether another try may succeed."""
    if isinstance(error, _FINAL) or getattr(error, "errno", None) in _FINAL_NUMBERS:
        return False
    if _lacks_credentials(error):
        return False
    status = getattr(error, "status", None) or getattr(error, "code", None) or 500
    return not (isinstance(status, int) and 400 <= status < 500 and status not in _AGAIN_STATUS)  # noqa: PLR2004 - HTTP


def with_retries(function: Callable[[], T]) -> T:
    """Call `function`, and again up to `ATTEMPTS` times for faults that pass; the last error is raised."""
    retrying = Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.2, max=5),
        retry=retry_if_exception(lambda error: isinstance(error, storage_errors()) and is_transient(error)),
        reraise=True,
    )
    return retrying(function)


@contextmanager
def translate_errors(uri: str) -> Iterator[None]:
    """Turn whatever a storage library raises over `uri` into a `StorageError` of one line."""
    try:
        yield
    except storage_errors() as error:
        raise as_error(error, uri) from error


def as_error(error: BaseException, uri: str) -> StorageError | OutputError:
    """Return the fault that says what `error` means for `uri` and how to mend it."""
    where = redact(uri)
    kind = type(error).__name__
    if getattr(error, "errno", None) in _FULL:
        return OutputError(f"{where}: no space left", "Free some, or write elsewhere; the same command goes on.")
    if _lacks_credentials(error):
        message = f"{where}: no credentials ({kind}: {redact_text(str(error))})"
        return StorageError(message, "Set them in the environment, as the cloud's own command line expects.")
    if isinstance(error, FileNotFoundError):
        return StorageError(f"{where}: not found", "Check the address.")
    if isinstance(error, PermissionError):
        return StorageError(f"{where}: not allowed ({redact_text(str(error))})", "Check the rights of this account.")
    return StorageError(f"{where}: {kind}: {redact_text(str(error))}", "Check the address and the network.")


def _lacks_credentials(error: BaseException) -> bool:
    return any(word in type(error).__name__ for word in ("Credentials", "GoogleAuth", "ClientAuthentication"))
