"""Fetching: bytes and their digest, or one recorded reason."""

import hashlib
from pathlib import Path

import pytest

from pipeline import storage
from pipeline.errors import FetchError
from pipeline.steps import fetch as module
from pipeline.steps.fetch import fetch
from pipeline.storage import PUBLIC_SCHEMES
from schemas.work import Row

LOCAL = PUBLIC_SCHEMES | {"file"}


def test_the_photo_its_maps_and_its_mask_come_with_a_digest(row: Row, tmp_path: Path) -> None:
    for name in ("a.jpg", "d.png", "m.png"):
        (tmp_path / name).write_bytes(name.encode())
    depth = f"file://{tmp_path}/d.png"
    given = {
        "uri": f"{tmp_path}/a.jpg",
        "map_uris": [{"detector": "depth", "uri": depth}],
        "mask_uri": f"{tmp_path}/m.png",
    }
    fetched = fetch(row | given, LOCAL)
    assert (fetched["photo_bytes"], fetched["mask_bytes"]) == (b"a.jpg", b"m.png")
    assert fetched["brought"] == [{"detector": "depth", "uri": depth, "content": b"d.png"}]
    assert fetched["source_sha256"] == hashlib.sha256(b"a.jpg").hexdigest()
    assert (fetched["source_bytes"], fetched["attempts"]) == (5, 1)


@pytest.mark.parametrize("given", [{"mask_uri": "/none.png"}, {"map_uris": [{"detector": "seg", "uri": "/none.png"}]}])
def test_a_map_or_a_mask_that_is_not_there_is_a_fault(row: Row, tmp_path: Path, given: Row) -> None:
    (tmp_path / "a.jpg").write_bytes(b"photo")
    with pytest.raises(FetchError, match="/none.png: not found"):
        fetch(row | {"uri": str(tmp_path / "a.jpg")} | given, LOCAL)


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
    with pytest.raises(FetchError, match=said) as caught:
        fetch(row | {"uri": uri}, LOCAL)
    assert not caught.value.retryable


@pytest.mark.parametrize("uri", ["/etc/hostname", "file:///etc/hostname", "etc/hostname"])
def test_local_files_need_the_runs_leave(row: Row, uri: str) -> None:
    with pytest.raises(FetchError, match="--allow file"):
        fetch(row | {"uri": uri}, PUBLIC_SCHEMES)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "[fd00:1:2:3:4:5:6:7]"])
def test_private_addresses_need_the_runs_leave(row: Row, host: str) -> None:
    with pytest.raises(FetchError, match="a private address"):
        fetch(row | {"uri": f"http://{host}/latest/meta-data?token=secret"}, PUBLIC_SCHEMES)


def test_an_empty_file_is_a_fault(row: Row, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(FetchError, match="the file is empty"):
        fetch(row | {"uri": str(tmp_path / "a.jpg")}, LOCAL)


def test_a_fault_that_passes_is_tried_again_and_said_to_be_retryable(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(uri: str) -> bytes:
        message = f"no answer from {uri}"
        raise TimeoutError(message)

    monkeypatch.setattr(module.storage, "read_once", slow)
    with pytest.raises(FetchError) as caught:
        fetch(row | {"uri": "s3://bucket/a.jpg"}, LOCAL)
    assert caught.value.retryable
    assert caught.value.attempts == storage.ATTEMPTS
