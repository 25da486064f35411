"""Retry storage requests, and translate the errors of storage libraries."""

import errno
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_after_delay,
    stop_any,
    wait_random_exponential,
)

from pipeline.errors import (
    DiskFullError,
    Photo2AnimeError,
    StorageAccessError,
    StorageError,
    StorageNotFoundError,
    describe_exception,
)
from pipeline.storage.redaction import redact, redact_message
from pipeline.storage.requests import remaining_seconds

LOGGER = logging.getLogger("photo2anime.storage")

T = TypeVar("T")

ATTEMPTS = 3

_PERMANENT_ERRORS = (
    FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError, MemoryError,
    ArithmeticError, AssertionError, AttributeError, LookupError, NameError, TypeError, ValueError,  # of programs
)  # fmt: skip
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_ACCESS_ERRNOS = (errno.EACCES, errno.EPERM, errno.EROFS)
_ACCESS_STATUSES = (401, 403)  # HTTP
_CREDENTIAL_CODES = (  # of S3: s3fs raises a PermissionError for some of them only
    "ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidClientTokenId",
    "InvalidToken", "RequestExpired", "SignatureDoesNotMatch", "TokenRefreshRequired", "UnrecognizedClientException",
)  # fmt: skip
# The answer to HEAD has the code 400 if a token has expired. GET has a code that says more.
_ACCESS_CODES = ("AccessDenied", "400", *_CREDENTIAL_CODES)
# Parts of the names of exceptions for missing credentials, and for credentials that have expired or are invalid.
_MISSING = ("NoCredentials", "PartialCredentials", "CredentialUnavailable", "DefaultCredentials", "NoAuthToken")
_EXPIRED = ("Credential", "GoogleAuth", "ClientAuthentication", "RefreshError", "SSOToken", "TokenRetrieval")
_PERMANENT_ERRNOS = (*_DISK_FULL, errno.ENAMETOOLONG, errno.EINVAL)
_CLIENT_ERRORS = range(400, 500)  # HTTP
_RETRYABLE_STATUSES = (408, 425, 429)  # HTTP: request timeout, too early, too many requests


def is_transient(error: BaseException) -> bool:
    """Return whether a request that failed with this error may succeed if it is repeated.

    An error of an unknown class is transient, because each storage library raises its own classes.
    """
    if isinstance(error, Photo2AnimeError) or not isinstance(error, Exception):
        return False
    if isinstance(error, _PERMANENT_ERRORS) or getattr(error, "errno", None) in _PERMANENT_ERRNOS:
        return False
    if lacks_credentials(error) or is_denied(error):
        return False
    status = _http_status(error)
    return status not in _CLIENT_ERRORS or status in _RETRYABLE_STATUSES


def lacks_credentials(error: BaseException) -> bool:
    """Return whether a storage library raised this error because it found no valid credentials."""
    return any(word in type(error).__name__ for word in (*_MISSING, *_EXPIRED))


def is_denied(error: BaseException) -> bool:
    """Return whether a storage refused a request, because the account has no permission, or its credentials expired."""
    if isinstance(error, PermissionError) or getattr(error, "errno", None) in _ACCESS_ERRNOS:
        return True
    if isinstance(error, OSError) and str(error).startswith("Forbidden:"):  # gcsfs, for the HTTP status 403
        return True
    return _s3_code(error) in _ACCESS_CODES or _http_status(error) in _ACCESS_STATUSES


def has_invalid_credentials(error: BaseException) -> bool:
    """Return whether the credentials have expired or are invalid, so that the storage would refuse every request.

    Returns False for missing credentials, because a manifest may name buckets that this machine never had access to.
    """
    if any(word in type(error).__name__ for word in _MISSING):
        return False
    return lacks_credentials(error) or _s3_code(error) in _CREDENTIAL_CODES


def _s3_code(error: BaseException) -> str | None:
    """Return the code of an error of botocore, which s3fs may have translated."""
    response = getattr(error.__cause__ or error, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return None if code is None else str(code)


def _http_status(error: BaseException) -> int | None:
    """Return the HTTP status of an error of aiohttp, gcsfs or Azure."""
    values = (getattr(error, name, None) for name in ("status", "code", "status_code"))
    return next((value for value in values if isinstance(value, int)), None)


def with_retries(function: Callable[[], T], seconds: float = math.inf) -> T:
    """Call a function up to `ATTEMPTS` times while it raises transient errors.

    Raises the last error unchanged.

    Args:
        function: The function.
        seconds: The time after which it is not called again. `time_limit` may shorten it.
    """
    retrying = Retrying(
        stop=stop_any(stop_after_attempt(ATTEMPTS), stop_after_delay(min(seconds, remaining_seconds()))),
        wait=wait_random_exponential(multiplier=0.2, max=5),
        retry=retry_if_exception(is_transient),
        before_sleep=_log_retry,
        reraise=True,
    )
    return retrying(function)


def _log_retry(state: RetryCallState) -> None:
    """Log the error of an attempt, without the credentials of addresses, which the errors of libraries contain."""
    error = state.outcome.exception() if state.outcome else None
    reason = redact_message(describe_exception(error)) if error else ""
    LOGGER.debug("attempt %d of %d failed (%s)", state.attempt_number, ATTEMPTS, reason)


@contextmanager
def translate_errors(uri: str) -> Iterator[None]:
    """Translate every error of a storage library with `as_error`. The message names `uri`."""
    try:
        yield
    except Photo2AnimeError:
        raise
    except Exception as error:
        raise as_error(error, uri) from error


def as_error(error: BaseException, uri: str) -> StorageError | DiskFullError:
    """Translate an error of a storage library to an error of photo2anime.

    Args:
        error: The error of the storage library.
        uri: The address of the request. The message contains it without credentials.

    Returns:
        A `DiskFullError`, `StorageNotFoundError`, `StorageAccessError`, or `StorageError` for any other error.
    """
    address = redact(uri)
    reason = redact_message(describe_exception(error), uri)
    if getattr(error, "errno", None) in _DISK_FULL:
        return DiskFullError(f"{address}: no space left")
    if lacks_credentials(error):
        return StorageAccessError(f"{address}: no credentials ({reason})")
    if isinstance(error, FileNotFoundError):
        return StorageNotFoundError(f"{address}: not found")
    if is_denied(error):
        hint = "Check the permissions of this account, and renew credentials that have expired."
        return StorageAccessError(f"{address}: access denied ({reason})", hint)
    return StorageError(f"{address}: {reason}")
