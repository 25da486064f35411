"""Fetching returns bytes and their digest, or one recorded error."""

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from pipeline import storage
from pipeline.errors import (
    CredentialsMissingError,
    EmptyFileError,
    FetchError,
    FetchFailedError,
    FetchTimeoutError,
    FileMissingError,
    InterruptedRunError,
    InvalidUriError,
    MissingUriError,
    PrivateAddressError,
    SchemeNotAllowedError,
    StorageAccessError,
)
from pipeline.steps import fetch as module
from pipeline.steps.fetch import fetch
from pipeline.steps.row_step import apply_step
from pipeline.storage import PUBLIC_SCHEMES
from pipeline.storage.limits import Access
from schemas.row_parts import MapUri, ProvidedFile, Source
from schemas.work import Failed
from tests.rows import planned_row

LOCAL, PUBLIC = Access(PUBLIC_SCHEMES | {"file"}), Access(PUBLIC_SCHEMES)


def test_the_photo_its_maps_and_its_mask_are_read(tmp_path: Path) -> None:
    for name in ("a.jpg", "d.png", "m.png"):
        (tmp_path / name).write_bytes(name.encode())
    depth = f"file://{tmp_path}/d.png"
    row = planned_row(uri=f"{tmp_path}/a.jpg", map_uris=(MapUri("depth", depth),), mask_uri=f"{tmp_path}/m.png")
    fetched = fetch(row, LOCAL)
    assert (fetched.photo, fetched.mask) == (b"a.jpg", b"m.png")
    assert fetched.provided == (ProvidedFile("depth", depth, b"d.png"),)
    assert (fetched.source.sha256, fetched.source.bytes) == (hashlib.sha256(b"a.jpg").hexdigest(), 5)
    assert fetched.timing.attempts == 1


def test_a_local_path_may_contain_two_colons(tmp_path: Path) -> None:
    (tmp_path / "a::b.jpg").write_bytes(b"photo")
    assert fetch(planned_row(uri=f"{tmp_path}/a::b.jpg"), LOCAL).photo == b"photo"


@pytest.mark.parametrize("files", [{"mask_uri": "/none.png"}, {"map_uris": (MapUri("seg", "/none.png"),)}])
def test_a_missing_map_or_mask_is_an_error(tmp_path: Path, files: dict[str, Any]) -> None:
    (tmp_path / "a.jpg").write_bytes(b"photo")
    with pytest.raises(FileMissingError, match=r"/none\.png") as caught:
        fetch(planned_row(uri=str(tmp_path / "a.jpg"), **files), LOCAL)
    assert caught.value.known["source"] == Source(hashlib.sha256(b"photo").hexdigest(), 5)
    assert caught.value.known["timing"].attempts == 1


@pytest.mark.parametrize(
    ("uri", "error"),
    [
        (None, MissingUriError),
        ("", MissingUriError),
        ("/none.jpg", FileMissingError),
        ("nothing://x", SchemeNotAllowedError),
        ("/a\0.jpg", InvalidUriError),
        ("http://[bad", InvalidUriError),
        ("http://a..b/x.jpg", FetchError),
        ("simplecache::file:///etc/passwd", SchemeNotAllowedError),
        ("simplecache::/etc/passwd", FileMissingError),
        ("/x::http://127.0.0.1/y", SchemeNotAllowedError),
    ],
)
def test_an_address_that_cannot_be_read_is_not_retryable(uri: str | None, error: type[FetchError]) -> None:
    with pytest.raises(error) as caught:
        fetch(planned_row(uri=uri), LOCAL)
    assert not caught.value.retryable


@pytest.mark.parametrize("uri", ["/etc/hostname", "file:///etc/hostname", "etc/hostname"])
def test_local_files_must_be_allowed(uri: str) -> None:
    with pytest.raises(SchemeNotAllowedError):
        fetch(planned_row(uri=uri), PUBLIC)


HOSTS = ["127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "[fd00:1:2:3:4:5:6:7]", "[::1]", "2130706433"]


@pytest.mark.parametrize("host", HOSTS)
def test_private_addresses_must_be_allowed(host: str) -> None:
    with pytest.raises(PrivateAddressError if host != "2130706433" else InvalidUriError) as caught:
        fetch(planned_row(uri=f"http://{host}/latest/meta-data?token=secret"), PUBLIC)
    assert "secret" not in str(caught.value)


def test_an_empty_file_is_an_error_after_all_of_its_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(EmptyFileError):
        fetch(planned_row(uri=str(tmp_path / "a.jpg")), LOCAL)
    answers = [TimeoutError(), b""]

    def answer(*_arguments: object) -> bytes:
        result = answers.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(module, "read_limited", answer)
    with pytest.raises(EmptyFileError) as caught:
        fetch(planned_row(uri="s3://bucket/a.jpg"), LOCAL)
    assert caught.value.attempts == 2


def test_attempts_of_another_file_do_not_count_for_the_photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(uri: str, *_limits: object) -> bytes:
        if uri.startswith("s3:"):
            raise TimeoutError
        return b"photo"

    monkeypatch.setattr(module, "read_limited", answer)
    row = planned_row(uri=str(tmp_path / "a.jpg"), mask_uri="s3://bucket/mask.png")
    result = apply_step("fetch", partial(fetch, access=LOCAL), row)
    assert isinstance(result, Failed)
    assert (result.timing.attempts, result.failure.attempts) == (1, storage.ATTEMPTS)


def test_a_transient_error_is_tried_again_and_is_retryable(monkeypatch: pytest.MonkeyPatch) -> None:
    def time_out(uri: str, *_limits: object) -> bytes:
        raise TimeoutError(f"no answer from {uri}")

    monkeypatch.setattr(module, "read_limited", time_out)
    with pytest.raises(FetchTimeoutError) as caught:
        fetch(planned_row(uri="s3://bucket/a.jpg"), LOCAL)
    assert caught.value.retryable
    assert caught.value.attempts == storage.ATTEMPTS


def test_an_unknown_error_of_a_storage_library_is_tried_again_and_retryable() -> None:
    class UnknownFileSystem(fsspec.AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
        """A file system that raises an error of its own class."""

        protocol = "unknown"

        def open(self, *_arguments: object, **_options: object) -> None:
            """Fail."""
            raise type("ServerError", (Exception,), {})("no answer")

    fsspec.register_implementation("unknown", UnknownFileSystem, clobber=True)
    with pytest.raises(FetchFailedError, match="ServerError: no answer") as caught:
        fetch(planned_row(uri="unknown://a.jpg"), Access(frozenset({"unknown"})))
    assert (caught.value.retryable, caught.value.attempts) == (True, storage.ATTEMPTS)


def test_expired_credentials_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> bytes:
        raise ClientError({"Error": {"Code": "ExpiredToken"}}, "GetObject")

    monkeypatch.setattr(module, "read_limited", refuse)
    with pytest.raises(StorageAccessError):
        fetch(planned_row(uri="s3://bucket/a.jpg"), LOCAL)


@pytest.mark.parametrize("uri", ["s3://KEY:SECRET@bucket/a.jpg", "s3://bucket/a.jpg?X-Amz-Signature=SECRET"])
def test_invalid_credentials_of_an_address_are_a_failure_of_the_photo(
    monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    def refuse(*_arguments: object) -> bytes:
        raise ClientError({"Error": {"Code": "InvalidAccessKeyId"}}, "GetObject")

    monkeypatch.setattr(module, "read_limited", refuse)
    with pytest.raises(FetchFailedError):
        fetch(planned_row(uri=uri), LOCAL)


def test_missing_credentials_are_a_failure_of_the_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> bytes:
        raise NoCredentialsError

    monkeypatch.setattr(module, "read_limited", refuse)
    with pytest.raises(FetchFailedError) as caught:
        fetch(planned_row(uri="s3://bucket/a.jpg"), LOCAL)
    assert (caught.value.retryable, caught.value.attempts) == (True, 1)


@pytest.mark.parametrize("host", ["host", f"user:{'SECRET' * 40}@host"])
def test_an_address_that_is_too_long_is_invalid(host: str) -> None:
    with pytest.raises(InvalidUriError) as caught:
        fetch(planned_row(uri=f"https://{host}/{'a' * module.MOST_CHARACTERS}"), LOCAL)
    assert len(str(caught.value)) < 500
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(("uri", "retryable"), [("s3://bucket/a.jpg", True), ("https://host/a.jpg", False)])
def test_a_photo_without_permission_fails(monkeypatch: pytest.MonkeyPatch, uri: str, *, retryable: bool) -> None:
    def refuse(*_arguments: object) -> bytes:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(module, "read_limited", refuse)
    with pytest.raises(FetchFailedError) as caught:
        fetch(planned_row(uri=uri), LOCAL)
    assert (caught.value.retryable, caught.value.attempts) == (retryable, 1)


def test_an_address_without_its_credentials_is_not_requested(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"another photo")
    with pytest.raises(CredentialsMissingError) as caught:
        fetch(planned_row(uri=f"{tmp_path}/a.jpg", redacted=True), LOCAL)
    assert caught.value.retryable


def test_a_signal_interrupts_the_reading_of_a_photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_arguments: Any) -> bytes:
        raise InterruptedRunError("interrupted")

    (tmp_path / "a.jpg").write_bytes(b"photo")
    monkeypatch.setattr(module, "read_limited", interrupt)
    with pytest.raises(InterruptedRunError):
        fetch(planned_row(uri=str(tmp_path / "a.jpg")), LOCAL)
