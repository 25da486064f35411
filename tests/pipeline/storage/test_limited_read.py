"""Files of photos are read within limits for time and size, from regular files and public hosts only."""

import os
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import fsspec
import pytest

from pipeline.errors import (
    FetchTimeoutError,
    FileTooLargeError,
    NotRegularFileError,
    PrivateAddressError,
)
from pipeline.storage import put
from pipeline.storage.limited_read import read_limited, read_start
from pipeline.storage.limits import MIB, ReadLimits
from pipeline.storage.retry import has_invalid_credentials, is_transient
from tests.web_server import web_server

LIMITS = ReadLimits(connect_seconds=5, read_seconds=5, total_seconds=30, max_bytes=MIB, private_hosts=True)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with web_server() as address:
        yield address


def read(uri: str, limits: ReadLimits = LIMITS) -> bytes:
    return read_limited(uri, limits, time.monotonic() + limits.total_seconds)


def test_files_at_any_address_are_read(server: str, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"photo")
    put(f"{bucket}/limited/a", b"photo")
    put("memory://limited/a", b"photo")
    uris = [str(tmp_path / "a"), f"file://{tmp_path}/a", f"{bucket}/limited/a", "memory://limited/a", f"{server}/ok"]
    assert [read(uri) for uri in uris] == [b"photo"] * len(uris)


def test_an_empty_file_at_any_address_is_empty(server: str, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    put(f"{bucket}/limited/empty", b"")
    assert [read(uri) for uri in (str(tmp_path / "a"), f"{bucket}/limited/empty", f"{server}/empty")] == [b""] * 3


class RefusingStorage(BaseHTTPRequestHandler):
    """Answers each request for an object of S3 with the status 400. The answer to HEAD has no content."""

    def do_GET(self) -> None:
        """Refuse to send an object that is encrypted with a key of its owner."""
        content = b"<Error><Code>InvalidRequest</Code><Message>encrypted</Message></Error>"
        self.send_response(400)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def do_HEAD(self) -> None:
        """Refuse to describe the object."""
        self.do_GET()

    def log_message(self, *_arguments: object) -> None:
        """Print nothing."""


@pytest.mark.usefixtures("without_credentials")
def test_an_object_that_cannot_be_read_does_not_look_like_invalid_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), RefusingStorage) as storage_server:
        threading.Thread(target=storage_server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{storage_server.server_port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        with pytest.raises(OSError, match="encrypted") as caught:
            read("s3://photos/a.jpg")
        storage_server.shutdown()
    assert not has_invalid_credentials(caught.value)


def test_a_missing_file_at_any_address_is_not_found(server: str, bucket: str, tmp_path: Path) -> None:
    for uri in (str(tmp_path / "a"), f"{bucket}/limited/none", f"{server}/missing", "memory://limited/none"):
        with pytest.raises(FileNotFoundError):
            read(uri)


def test_a_file_of_exactly_the_limit_is_read_and_a_larger_one_is_not(server: str, bucket: str, tmp_path: Path) -> None:
    content = bytes(100)
    (tmp_path / "a").write_bytes(content)
    put(f"{bucket}/limited/large", content)
    put("memory://limited/large", content)
    for uri in (str(tmp_path / "a"), f"{bucket}/limited/large", "memory://limited/large"):
        assert read(uri, replace(LIMITS, max_bytes=100)) == content
        with pytest.raises(FileTooLargeError):
            read(uri, replace(LIMITS, max_bytes=99))
    with pytest.raises(FileTooLargeError):
        read(f"{server}/ok", replace(LIMITS, max_bytes=4))


def test_the_start_of_a_file_is_read(server: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(1000))
    deadline = time.monotonic() + 30
    assert len(read_start(str(tmp_path / "a"), LIMITS, deadline, 10)) == 11
    assert read_start(f"{server}/ok", LIMITS, deadline, 2) == b"pho"


@pytest.mark.parametrize("path", ["endless", "bomb"])
def test_an_answer_is_not_read_beyond_the_limit(server: str, path: str) -> None:
    tracemalloc.start()
    with pytest.raises(FileTooLargeError):
        read(f"{server}/{path}")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * MIB


def test_a_server_that_redirects_for_ever_is_not_followed(server: str) -> None:
    with pytest.raises(OSError, match="redirects") as caught:
        read(f"{server}/loop")
    assert not is_transient(caught.value)


@pytest.mark.parametrize("status", [201, 202, 203, 204, 205, 206, 226, 300, 302, 304, 305])
def test_only_the_answer_200_is_a_file(server: str, status: int) -> None:
    with pytest.raises(OSError, match=str(status)) as caught:
        read(f"{server}/status/{status}")
    assert not is_transient(caught.value)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "s3://bucket/a", "ftp://host/a", "data:,a"])
def test_a_redirect_to_another_scheme_is_not_followed(server: str, target: str) -> None:
    with pytest.raises(OSError, match="redirect") as caught:
        read(f"{server}/redirect?to={quote(target)}")
    assert not is_transient(caught.value)


@pytest.mark.parametrize("path", ["silent", "drip"])
def test_reading_ends_at_the_deadline(server: str, path: str) -> None:
    with pytest.raises(FetchTimeoutError) as caught:
        read(f"{server}/{path}", replace(LIMITS, total_seconds=0.3))
    assert caught.value.retryable


def test_a_silent_server_is_a_timeout_before_the_deadline(server: str) -> None:
    with pytest.raises(TimeoutError):
        read(f"{server}/silent", replace(LIMITS, read_seconds=0.2, total_seconds=600))


def test_a_server_that_accepts_no_connection_is_a_timeout() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(3)]  # fill the queue of connections
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(address)
        with pytest.raises(TimeoutError):
            read(f"http://127.0.0.1:{address[1]}/a", replace(LIMITS, connect_seconds=0.3, total_seconds=600))
        for each in waiting:
            each.close()


def test_a_file_system_that_hangs_ends_at_the_deadline() -> None:
    released = threading.Event()

    class HangingFileSystem(fsspec.AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
        """A file system without coroutines, whose server does not answer."""

        protocol = "hanging"

        def open(self, *_arguments: object, **_options: object) -> None:
            """Wait for the server."""
            released.wait()

    fsspec.register_implementation("hanging", HangingFileSystem, clobber=True)
    with pytest.raises(FetchTimeoutError):
        read("hanging://a", replace(LIMITS, total_seconds=0.2))
    released.set()


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for path in (tmp_path / "pipe", tmp_path / "link", tmp_path / "socket", tmp_path, "/dev/zero", "/dev/tty"):
            with pytest.raises(NotRegularFileError) as caught:
                read(str(path))
            assert not caught.value.retryable


def test_a_file_that_becomes_a_pipe_before_it_is_opened_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    before = (tmp_path / "file").stat()
    monkeypatch.setattr(os, "stat", lambda _path: before)
    with pytest.raises(NotRegularFileError):
        read(str(tmp_path / "pipe"))


def test_a_web_address_of_a_private_host_is_refused(server: str) -> None:
    with pytest.raises(PrivateAddressError):
        read(f"{server}/ok", replace(LIMITS, private_hosts=False))
