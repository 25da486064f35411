"""Storage: atomic writes, retries of transient errors, error classes and redaction."""

import errno
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import storage
from pipeline.errors import (
    DiskFullError,
    StorageAccessError,
    StorageError,
    StorageNotFoundError,
    UnsupportedSchemeError,
)
from pipeline.storage import atomic
from tests.conftest import ROOT


def test_read_returns_what_was_put_last(tmp_path: Path) -> None:
    for root in (str(tmp_path / "nested" / "folder"), "memory://storage-test"):
        storage.put(storage.join(root, "a.bin"), b"one")
        storage.put(storage.join(root, "a.bin"), b"two")
        assert storage.read(storage.join(root, "a.bin")) == b"two"
        assert storage.names(root) == ["a.bin"]


def test_of_several_writers_of_a_new_file_one_succeeds(tmp_path: Path, bucket: str) -> None:
    for root in (str(tmp_path), "memory://new", f"{bucket}/new"):
        target = storage.join(root, "a.bin")
        with ThreadPoolExecutor(8) as writers:
            written = list(writers.map(lambda number, uri=target: storage.put_new(uri, b"%d" % number), range(8)))
        assert written.count(True) == 1
        assert storage.read(target) == b"%d" % written.index(True)
    with pytest.raises(StorageError):
        storage.put_new("s3://no-such-bucket/a.bin", b"")


def test_remove_partial_files_keeps_complete_files(tmp_path: Path) -> None:
    (tmp_path / ".a.bin.0123.part").write_bytes(b"partial")
    (tmp_path / "a.bin").write_bytes(b"complete")
    storage.remove_partial_files(str(tmp_path))
    storage.remove_partial_files(str(tmp_path / "none"))
    storage.remove_partial_files("memory://partial")
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_concurrent_writers_of_one_file_succeed(tmp_path: Path) -> None:
    target = str(tmp_path / "a.bin")
    with ThreadPoolExecutor(4) as executor:
        for write in [executor.submit(storage.put, target, b"same") for _ in range(40)]:
            write.result()
        removals = [executor.submit(storage.remove_partial_files, str(tmp_path)) for _ in range(3)]
        assert all(removal.result() is None for removal in removals)
    assert storage.read(target) == b"same"


def test_put_is_retried_if_its_temporary_file_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync, removals = atomic.os.fsync, []

    def fsync_after_removal(descriptor: int) -> None:
        if not removals:
            removals.append(storage.remove_partial_files(str(tmp_path)))
        fsync(descriptor)

    monkeypatch.setattr(atomic.os, "fsync", fsync_after_removal)
    storage.put(str(tmp_path / "a.bin"), b"complete")
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_a_failed_put_keeps_the_existing_file_and_no_partial_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DiskFullError):
        storage.put(str(target), b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]
    assert target.read_bytes() == b"old"


def test_files_lists_all_levels_with_relative_paths(tmp_path: Path) -> None:
    storage.put(str(tmp_path / "x" / "y.txt"), b"1")
    storage.put(str(tmp_path / "z.txt"), b"12")
    assert {name: info["size"] for name, info in storage.files(str(tmp_path)).items()} == {"x/y.txt": 1, "z.txt": 2}
    assert storage.names(str(tmp_path)) == ["z.txt"]
    assert storage.names(str(tmp_path / "none")) == []


@pytest.mark.parametrize("scheme", ["local", "memory"])
def test_file_names_are_the_names_of_files(tmp_path: Path, scheme: str) -> None:
    root = str(tmp_path / "listed") if scheme == "local" else "memory://listed"
    assert storage.file_names(root) == []
    for name in ("x/y/z.txt", "x/a.txt", "b.txt"):
        storage.put(f"{root}/{name}", b"1")
    assert sorted(storage.file_names(f"{root}/")) == sorted(storage.files(root)) == ["b.txt", "x/a.txt", "x/y/z.txt"]


def test_links_are_listed_as_files_and_not_followed(tmp_path: Path) -> None:
    storage.put(str(tmp_path / "listed" / "x" / "a.txt"), b"1")
    storage.put(str(tmp_path / "outside" / "b.txt"), b"1")
    (tmp_path / "listed" / "folder").symlink_to(tmp_path / "outside")
    (tmp_path / "listed" / "x" / "file").symlink_to(tmp_path / "outside" / "b.txt")
    (tmp_path / "listed" / "loop").symlink_to(tmp_path)
    assert sorted(storage.file_names(str(tmp_path / "listed"))) == ["folder", "loop", "x/a.txt", "x/file"]


def test_remove_accepts_a_missing_file(tmp_path: Path) -> None:
    storage.remove(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("https://user:pass@host/a.jpg?X-Amz-Signature=abc#f", "https://host/a.jpg"),
        ("s3://bucket/a b.jpg", "s3://bucket/a b.jpg"),
        ("/photos/a?b.jpg", "/photos/a?b.jpg"),
        ("s3://bucket/a#1?.jpg", "s3://bucket/a#1?.jpg"),
        ("s3://key:secret@bucket/a.jpg", "s3://bucket/a.jpg"),
        ("az://container/a.jpg?sv=2024&sig=abc", "az://container/a.jpg"),
        ("abfss://container@account.host/a.jpg", "abfss://container@account.host/a.jpg"),
        ("http://[x/a.jpg", "http://[x/a.jpg"),
    ],
)
def test_redact_removes_logins_and_queries(uri: str, expected: str) -> None:
    assert storage.redact(uri) == expected


def test_only_transient_errors_are_retried() -> None:
    attempts = []

    def fail(error: OSError) -> None:
        attempts.append(error)
        raise error

    for error, expected in ((TimeoutError(), storage.ATTEMPTS), (FileNotFoundError(), 1), (PermissionError(), 1)):
        attempts.clear()
        with pytest.raises(type(error)):
            storage.with_retries(lambda error=error: fail(error))
        assert len(attempts) == expected


def test_a_retry_is_logged_without_credentials(caplog: pytest.LogCaptureFixture) -> None:
    results = [ConnectionResetError("no answer from https://u:p@host/a.jpg?X-Amz-Signature=secret"), None]

    def fail_once() -> None:
        if error := results.pop(0):
            raise error

    with caplog.at_level("DEBUG", "photo2anime.storage"):
        storage.with_retries(fail_once)
    assert "ConnectionResetError: no answer from https://host/a.jpg" in caplog.text
    assert "secret" not in caplog.text
    assert "u:p" not in caplog.text


def test_the_http_status_decides_whether_an_error_is_transient() -> None:
    class ResponseError(OSError):
        def __init__(self, status: int) -> None:
            super().__init__()
            self.status = status

    assert [storage.is_transient(ResponseError(status)) for status in (403, 404, 408, 429, 500, 503)] == [
        False, False, True, True, True, True,
    ]  # fmt: skip


class NoCredentialsError(Exception):
    """An error with the name of botocore's."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), DiskFullError),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), DiskFullError),
        (NoCredentialsError(), StorageAccessError),
        (PermissionError(), StorageAccessError),
        (FileNotFoundError(), StorageNotFoundError),
        (TimeoutError("s3://key:secret@bucket/a"), StorageError),
        (OSError('Invalid bucket name "key:secret@bucket"'), StorageError),
    ],
)
def test_as_error_selects_the_class_and_redacts_the_message(error: Exception, expected: type[Exception]) -> None:
    translated = storage.as_error(error, "s3://key:secret@bucket/a")
    assert type(translated) is expected
    assert str(translated).startswith("s3://bucket/a: ")
    assert "secret" not in str(translated)


@pytest.mark.parametrize(
    ("uri", "expected"), [("nothing://x/y", UnsupportedSchemeError), ("/none/at/all", StorageNotFoundError)]
)
def test_an_error_of_read_is_one_line_with_the_address(uri: str, expected: type[Exception]) -> None:
    with pytest.raises(expected, match=uri) as caught:
        storage.read(uri)
    assert "\n" not in str(caught.value)


def test_the_extra_of_an_uninstalled_file_system_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_uri: str) -> None:
        raise ImportError

    monkeypatch.setattr("fsspec.core.url_to_fs", fail)
    with pytest.raises(UnsupportedSchemeError, match=r"pip install 'photo2anime\[s3\]'"):
        storage.read("s3://bucket/a")


@pytest.mark.slow
def test_a_process_that_read_a_table_exits_with_its_exit_code(tmp_path: Path) -> None:
    """Start 16 processes, because only some abort if Arrow's threads hold Python objects at exit: about one in five."""
    storage.put_table(str(tmp_path / "t.parquet"), pa.table({"photo_id": ["a"]}))
    code = f"import sys; from pipeline import storage; storage.read_table({str(tmp_path / 't.parquet')!r}); sys.exit(2)"
    processes = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) for _ in range(16)]
    assert [process.wait() for process in processes] == [2] * 16
