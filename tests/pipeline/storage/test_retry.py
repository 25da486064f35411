"""Refused requests are access errors, and are not repeated."""

import errno
from pathlib import Path

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from botocore.exceptions import ClientError, NoCredentialsError, TokenRetrievalError
from gcsfs.retry import HttpError
from google.auth.exceptions import RefreshError
from s3fs.errors import translate_boto_error

from pipeline import storage
from pipeline.errors import DiskFullError, StorageAccessError, StorageError


def s3_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "refused"}}, "PutObject")


def azure_error(status: int) -> HttpResponseError:
    error = HttpResponseError("refused")
    error.status_code = status
    return error


DENIED = [
    PermissionError(errno.EACCES, "Permission denied"),
    OSError(errno.EROFS, "Read-only file system"),
    *(s3_error(code) for code in ("AccessDenied", "ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch")),
    *(translate_boto_error(s3_error(code)) for code in ("AccessDenied", "ExpiredToken", "InvalidToken", "400", "403")),
    OSError("Forbidden: https://host/o\nrefused"),
    HttpError({"code": 401, "message": "Invalid Credentials"}),
    azure_error(403),
    ClientAuthenticationError("refused"),
    NoCredentialsError(),
    TokenRetrievalError(provider="sso", error_msg="expired"),
    RefreshError("expired"),
]


@pytest.mark.parametrize("error", DENIED, ids=repr)
def test_a_refused_request_is_an_access_error_and_not_repeated(error: Exception) -> None:
    assert type(storage.as_error(error, "s3://bucket/a")) is StorageAccessError
    assert not storage.is_transient(error)


@pytest.mark.parametrize(
    "error",
    [s3_error("SlowDown"), translate_boto_error(s3_error("InternalError")), azure_error(503), HttpError({"code": 503})],
    ids=repr,
)
def test_another_error_is_repeated(error: Exception) -> None:
    assert type(storage.as_error(error, "s3://bucket/a")) is StorageError
    assert storage.is_transient(error)


def test_a_folder_that_can_be_written_is_not_changed(tmp_path: Path, bucket: str) -> None:
    for folder in (str(tmp_path), f"{bucket}/writable", "memory://writable"):
        storage.check_writable(folder)
        assert storage.file_names(folder) == []


def test_a_folder_that_cannot_be_written_is_an_access_error(tmp_path: Path, bucket: str) -> None:
    (tmp_path / "file").touch()
    for folder in (str(tmp_path / "file"), str(tmp_path / "file" / "folder"), f"{bucket}-none/folder", "/proc/folder"):
        with pytest.raises(StorageAccessError) as caught:
            storage.check_writable(folder)
        assert str(caught.value).startswith(f"{folder}: ")


def test_a_full_disk_is_not_an_access_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DiskFullError):
        storage.check_writable(str(tmp_path))
