"""Fetching: bytes and their digest, or one recorded reason."""

import hashlib
from pathlib import Path

import pytest

from pipeline import fetch as module
from pipeline import storage
from pipeline.faults import FetchFault
from pipeline.fetch import PUBLIC_SCHEMES, fetch
from schemas.work import Row

LOCAL = PUBLIC_SCHEMES | {"file"}


def test_the_photo_and_its_depth_come_with_a_digest(row: Row, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"photo")
    (tmp_path / "d.png").write_bytes(b"depth")
    fetched = fetch(row | {"uri": str(tmp_path / "a.jpg"), "depth_uri": f"file://{tmp_path}/d.png"}, LOCAL)
    assert (fetched["photo_bytes"], fetched["depth_bytes"]) == (b"photo", b"depth")
    assert fetched["source_sha256"] == hashlib.sha256(b"photo").hexdigest()
    assert (fetched["source_bytes"], fetched["attempts"]) == (5, 1)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        (None, "gives no uri"),
        ("", "gives no uri"),
        ("/none.jpg", "/none.jpg: not found"),
        ("nothing://x", "'nothing' addresses are not allowed"),
        ("/a\0.jpg", "no address that can be read"),
        ("http://[bad", "no address that can be read"),
        ("http://a..b/x.jpg", "no address that can be read|not found|Error"),
        ("simplecache::file:///etc/passwd", "chained addresses are not allowed"),
    ],
)
def test_what_cannot_be_had_is_a_fault_without_retry(row: Row, uri: str | None, said: str) -> None:
    with pytest.raises(FetchFault, match=said) as caught:
        fetch(row | {"uri": uri}, LOCAL)
    assert not caught.value.retryable


@pytest.mark.parametrize("uri", ["/etc/hostname", "file:///etc/hostname", "etc/hostname"])
def test_local_files_need_the_runs_leave(row: Row, uri: str) -> None:
    with pytest.raises(FetchFault, match="--allow file"):
        fetch(row | {"uri": uri}, PUBLIC_SCHEMES)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "[fd00:1:2:3:4:5:6:7]"])
def test_private_addresses_need_the_runs_leave(row: Row, host: str) -> None:
    with pytest.raises(FetchFault, match="a private address"):
        fetch(row | {"uri": f"http://{host}/latest/meta-data?token=secret"}, PUBLIC_SCHEMES)


def test_an_empty_file_is_a_fault(row: Row, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(FetchFault, match="the file is empty"):
        fetch(row | {"uri": str(tmp_path / "a.jpg")}, LOCAL)


def test_a_fault_that_passes_is_tried_again_and_said_to_be_retryable(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(uri: str) -> bytes:
        message = f"no answer from {uri}"
        raise TimeoutError(message)

    monkeypatch.setattr(module.storage, "read_once", slow)
    with pytest.raises(FetchFault) as caught:
        fetch(row | {"uri": "s3://bucket/a.jpg"}, LOCAL)
    assert caught.value.retryable
    assert caught.value.attempts == storage.ATTEMPTS
