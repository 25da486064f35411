"""Storage: whole files or none, retries for what passes, and no secret in what is said."""

import errno
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import storage
from pipeline.errors import OutputError, StorageError
from pipeline.storage import atomic
from tests.conftest import ROOT


def test_put_then_read_local_and_in_memory(tmp_path: Path) -> None:
    for root in (str(tmp_path / "deep" / "er"), "memory://storage-test"):
        storage.put(storage.join(root, "a.bin"), b"one")
        storage.put(storage.join(root, "a.bin"), b"two")
        assert storage.read(storage.join(root, "a.bin")) == b"two"
        assert storage.names(root) == ["a.bin"]


def test_sweeping_removes_what_a_killed_process_left_half_written(tmp_path: Path) -> None:
    (tmp_path / ".a.bin.0123.part").write_bytes(b"half")
    (tmp_path / "a.bin").write_bytes(b"whole")
    storage.remove_partial_files(str(tmp_path))
    storage.remove_partial_files(str(tmp_path / "none"))
    storage.remove_partial_files("memory://sweep")
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_many_writers_of_one_file_and_a_sweeper_all_come_through(tmp_path: Path) -> None:
    target = str(tmp_path / "a.bin")
    with ThreadPoolExecutor(4) as writers:
        for done in [writers.submit(storage.put, target, b"same") for _ in range(40)]:
            done.result()
        swept = [writers.submit(storage.remove_partial_files, str(tmp_path)) for _ in range(3)]
        assert all(done.result() is None for done in swept)
    assert storage.read(target) == b"same"


def test_a_part_that_was_swept_is_written_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync, swept = atomic.os.fsync, []

    def sweeping(descriptor: int) -> None:
        if not swept:
            swept.append(storage.remove_partial_files(str(tmp_path)))
        sync(descriptor)

    monkeypatch.setattr(atomic.os, "fsync", sweeping)
    storage.put(str(tmp_path / "a.bin"), b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_a_put_that_fails_leaves_the_old_file_and_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match="no space left"):
        storage.put(str(target), b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]
    assert target.read_bytes() == b"old"


def test_files_are_found_below_and_named_relative(tmp_path: Path) -> None:
    storage.put(str(tmp_path / "x" / "y.txt"), b"1")
    storage.put(str(tmp_path / "z.txt"), b"12")
    assert {name: info["size"] for name, info in storage.files(str(tmp_path)).items()} == {"x/y.txt": 1, "z.txt": 2}
    assert storage.names(str(tmp_path)) == ["z.txt"]
    assert storage.names(str(tmp_path / "none")) == []


def test_removing_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    storage.remove(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("uri", "shown"),
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
def test_redaction(uri: str, shown: str) -> None:
    assert storage.redact(uri) == shown


def test_redaction_within_a_text() -> None:
    said = storage.redact_text("403 for url='https://k:s@host/x.png?sig=1', twice <https://host/y?token=2>")
    assert said == "403 for url='https://host/x.png', twice <https://host/y>"


def test_what_passes_is_tried_again_and_what_stays_is_not() -> None:
    tries = []

    def failing(error: OSError) -> None:
        tries.append(error)
        raise error

    for error, expected in ((TimeoutError(), storage.ATTEMPTS), (FileNotFoundError(), 1), (PermissionError(), 1)):
        tries.clear()
        with pytest.raises(type(error)):
            storage.with_retries(lambda error=error: failing(error))
        assert len(tries) == expected


def test_http_answers_are_told_apart() -> None:
    class AnswerError(OSError):
        def __init__(self, status: int) -> None:
            super().__init__()
            self.status = status

    assert [storage.is_transient(AnswerError(status)) for status in (403, 404, 408, 429, 500, 503)] == [
        False, False, True, True, True, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("nothing://x/y", "nothing://x/y: Protocol not known"),
        ("/none/at/all", "/none/at/all: not found"),
    ],
)
def test_bad_addresses_are_one_line(uri: str, said: str) -> None:
    with pytest.raises(StorageError, match=said) as caught:
        storage.read(uri)
    assert "\n" not in str(caught.value)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_uri: str) -> None:
        message = "Install s3fs to access S3"
        raise ImportError(message)

    monkeypatch.setattr("fsspec.core.url_to_fs", absent)
    with pytest.raises(StorageError, match=r"pip install 'photo2anime\[s3\]'"):
        storage.read("s3://bucket/a")


def test_a_process_that_has_read_a_table_ends_with_its_own_exit_code(tmp_path: Path) -> None:
    """End many at once: Arrow's threads, if they hold Python's objects, abort about every fifth on a busy machine."""
    storage.put_table(str(tmp_path / "t.parquet"), pa.table({"photo_id": ["a"]}))
    code = f"import sys; from pipeline import storage; storage.read_table({str(tmp_path / 't.parquet')!r}); sys.exit(2)"
    started = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) for _ in range(16)]
    assert [process.wait() for process in started] == [2] * 16
