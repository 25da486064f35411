"""Requests end within a time limit, also if a server accepts a connection and never answers."""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import s3fs

from pipeline import storage
from pipeline.errors import InterruptedRunError, StorageError
from pipeline.storage import requests
from pipeline.storage.transfer import download, upload

SHORT = 0.1


@pytest.fixture
def silent_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Serve S3 with a server that accepts each connection and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:  # the system accepts the connections
        environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.getsockname()[1]}", "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        }  # fmt: skip
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        yield
        s3fs.S3FileSystem.clear_instance_cache()


def record_limits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a list to which the limit of each request is added."""
    limits, sync = [], requests.sync

    def recorded(*arguments: object, timeout: float, **options: object) -> object:
        limits.append(timeout)
        return sync(*arguments, timeout=timeout, **options)

    monkeypatch.setattr(requests, "sync", recorded)
    return limits


@pytest.mark.parametrize("write", [storage.put, storage.put_new], ids=["put", "put_new"])
@pytest.mark.usefixtures("silent_server")
def test_an_object_that_the_server_does_not_accept_is_sent_again(
    write: Callable[[str, bytes], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = record_limits(monkeypatch)
    monkeypatch.setattr(requests, "REQUEST_SECONDS", SHORT)
    with pytest.raises(StorageError) as caught:
        write("s3://bucket/a", b"")
    assert isinstance(caught.value.__cause__, TimeoutError)
    assert "\n" not in str(caught.value)
    assert limits == [SHORT] * storage.ATTEMPTS


REQUESTS: list[Callable[[str, Path], object]] = [
    lambda uri, _path: storage.read(uri),
    lambda uri, _path: storage.read_if_exists(uri),
    lambda uri, _path: storage.exists(uri),
    lambda uri, _path: storage.is_file(uri),
    lambda uri, _path: storage.is_folder(uri),
    lambda uri, _path: storage.names(uri),
    lambda uri, _path: storage.folders(uri),
    lambda uri, _path: storage.remove(uri),
    lambda uri, path: download(uri, path / "copy"),
    lambda uri, _path: upload(Path(__file__), uri),
]


@pytest.mark.parametrize("send", REQUESTS)
@pytest.mark.usefixtures("silent_server")
def test_a_request_ends_at_the_limit_of_a_block(send: Callable[[str, Path], object], tmp_path: Path) -> None:
    begin = time.monotonic()
    with storage.time_limit(SHORT), pytest.raises(StorageError):
        send("s3://bucket/a", tmp_path)
    assert time.monotonic() - begin < requests.REQUEST_SECONDS / 2
    assert list(tmp_path.iterdir()) == []


def test_the_limit_grows_with_the_content(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = record_limits(monkeypatch)
    storage.put(f"{bucket}/large", bytes(requests.SLOWEST_BYTES * 10))
    assert limits == [requests.REQUEST_SECONDS + 10]


def test_a_large_object_gets_the_time_for_its_size_after_an_attempt(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytes(requests.SLOWEST_BYTES * 2)
    storage.put(f"{bucket}/read", content)
    limits = []
    sync = requests.sync

    def slow(
        loop: object, method: Callable[..., object], *arguments: object, timeout: float, **options: object
    ) -> object:
        if method.__name__ == "_cat_file":
            limits.append(timeout)
            if len(limits) == 1:
                raise requests.FSTimeoutError
        return sync(loop, method, *arguments, timeout=timeout, **options)

    monkeypatch.setattr(requests, "sync", slow)
    assert storage.read(f"{bucket}/read") == content
    assert limits == [requests.REQUEST_SECONDS, requests.REQUEST_SECONDS + 2]


def test_an_inner_limit_does_not_extend_an_outer_one() -> None:
    assert storage.remaining_seconds() == float("inf")
    with storage.time_limit(0), storage.time_limit(100):
        assert storage.remaining_seconds() == 0
    assert storage.remaining_seconds() == float("inf")


@pytest.mark.parametrize(
    "send",
    [lambda uri: storage.put_new(uri, b""), storage.check_credentials, storage.read],
    ids=["put_new", "check_credentials", "read"],
)
def test_a_signal_interrupts_a_request(
    send: Callable[[str], object], bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.put(f"{bucket}/interrupted", b"")

    def interrupt(*_arguments: object, **_options: object) -> None:
        raise InterruptedRunError("interrupted")

    monkeypatch.setattr(requests, "sync", interrupt)
    with pytest.raises(InterruptedRunError):
        send(f"{bucket}/interrupted")


def test_a_signal_interrupts_the_creation_of_a_file_system(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_uri: str) -> None:
        raise InterruptedRunError("interrupted")

    monkeypatch.setattr("fsspec.core.url_to_fs", interrupt)
    with pytest.raises(InterruptedRunError):
        storage.filesystem("s3://bucket")
