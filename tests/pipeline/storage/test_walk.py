"""Files are listed in pages, and a folder that cannot be listed is an error."""

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipeline import storage
from pipeline.errors import StorageAccessError, StorageError, StorageNotFoundError
from pipeline.storage import walk
from pipeline.storage.walk import Page, list_level, walk_files


def names(pages: Iterable[Page]) -> list[str]:
    return sorted(entry.name for page in pages for entry in page)


def write(folder: Path, *files: str) -> None:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def test_local_files_are_listed_in_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a", "b", "x/c", "x/y/d", "z/e")
    monkeypatch.setattr(walk, "PAGE_FILES", 2)
    pages = list(walk_files(str(tmp_path)))
    assert [len(page) for page in pages] == [2, 2, 1]
    assert names(pages) == ["a", "b", "x/c", "x/y/d", "z/e"]


def test_details_of_a_link_are_those_of_its_file(tmp_path: Path) -> None:
    write(tmp_path, "a")
    (tmp_path / "link").symlink_to("a")
    (first, second) = next(walk_files(str(tmp_path)))
    assert replace(first, name=second.name) == second
    assert first.size == 1


def test_links_to_folders_are_followed(tmp_path: Path) -> None:
    write(tmp_path, "in/a", "other/b", "other/x/c")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "other")
    (tmp_path / "in" / "again").symlink_to("link/x")
    (tmp_path / "root").symlink_to("in")
    for root in ("in", "root"):
        assert names(walk_files(str(tmp_path / root))) == ["a", "again/c", "link/b"]  # x is listed through `again`


def test_loops_of_links_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path, "a", "x/b", "y/c")
    (tmp_path / "x" / "loop").symlink_to(tmp_path)
    (tmp_path / "x" / "y").symlink_to("../y")
    (tmp_path / "y" / "x").symlink_to("../x")
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "broken").symlink_to("none")
    assert names(walk_files(str(tmp_path))) == ["a", "broken", "self", "x/b", "y/c"]


def test_folders_that_link_to_each_other_are_listed_once(tmp_path: Path) -> None:
    outside = [tmp_path / "outside" / f"{number}" for number in range(9)]
    for folder in outside:
        write(folder, "photo")
        for other in outside:
            (folder / f"to-{other.name}").symlink_to(other)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "first").symlink_to(outside[3])
    (tmp_path / "in" / "up").symlink_to(tmp_path)
    found = names(walk_files(str(tmp_path / "in")))
    assert len(found) == 9
    assert found == names(walk_files(str(tmp_path / "in")))


def test_entries_that_are_deleted_meanwhile_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a", "b", "c", "x/d", "y/e")
    monkeypatch.setattr(walk, "PAGE_FILES", 1)
    pages = walk_files(str(tmp_path))
    first = names([next(pages)])
    shutil.rmtree(tmp_path / "y")
    for name in {"a", "b", "c"} - {*first}:
        (tmp_path / name).unlink()
    assert names([*pages]) == ["x/d"]


def test_pipes_are_not_listed(tmp_path: Path) -> None:
    write(tmp_path, "a")
    os.mkfifo(tmp_path / "pipe")
    assert names(walk_files(str(tmp_path))) == ["a"]


@pytest.mark.parametrize("root", ["memory://walk-skip", ""])
def test_a_subfolder_is_skipped(root: str, tmp_path: Path) -> None:
    folder = root or str(tmp_path)
    for name in ("a", "out/b", "x/out/c", "outside/d"):
        storage.put(f"{folder}/{name}", b"content")
    assert names(walk_files(folder, "out")) == ["a", "outside/d", "x/out/c"]


def test_a_level_of_other_file_systems_is_listed() -> None:
    for name in ("a", "x/b", "x/y/c"):
        storage.put(f"memory://walk-level/{name}", b"content")
    ((page, subfolders),) = list_level("memory://walk-level")
    assert (names([page]), subfolders) == (["a"], ["x"])


def test_the_object_that_marks_the_folder_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [{"name": "/marked", "type": "directory"}, {"name": "/marked/a", "type": "file", "size": 1}]
    monkeypatch.setattr(walk, "_list_folder", lambda _fs, _folder: entries)
    ((page, subfolders),) = list_level("memory://marked")
    assert (names([page]), subfolders) == (["a"], [])


@pytest.mark.parametrize("skip", ["out", "none"])
def test_the_pages_of_a_skipped_subfolder_are_not_requested(
    bucket: str, monkeypatch: pytest.MonkeyPatch, skip: str
) -> None:
    for name in ("a", *(f"out/{number:02d}" for number in range(20)), "out0", "outside/d"):
        storage.put(f"{bucket}/walk-skip/{name}", b"content")
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
    pages = list(walk_files(f"{bucket}/walk-skip", skip))
    assert [name for name in names(pages) if not name.startswith("out/")] == ["a", "out0", "outside/d"]
    assert (len(names(pages)), len(pages)) == ((3, 2) if skip == "out" else (23, 8))


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    for folder in (str(tmp_path / "none"), "memory://walk-none"):
        with pytest.raises(StorageNotFoundError):
            list(walk_files(folder))


def test_a_local_subfolder_that_cannot_be_listed_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "a")
    folder = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):  # the path becomes longer than the 4096 bytes that Linux allows
        os.mkdir("x" * 250, dir_fd=folder)
        parent, folder = folder, os.open("x" * 250, os.O_RDONLY, dir_fd=folder)
        os.close(parent)
    os.close(folder)
    with pytest.raises(StorageError, match="xxx"):
        list(walk_files(str(tmp_path)))


def test_a_remote_subfolder_without_permission_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "x/b", "y/c"):
        storage.put(f"memory://walk-denied/{name}", b"content")
    original = MemoryFileSystem.ls

    def ls(self: MemoryFileSystem, path: str, **options: object) -> object:
        if path.endswith("/x"):
            raise PermissionError(path)
        return original(self, path, **options)

    monkeypatch.setattr(MemoryFileSystem, "ls", ls)
    with pytest.raises(StorageAccessError, match="walk-denied/x"):
        list(walk_files("memory://walk-denied"))


def test_a_bucket_is_listed_in_pages(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = ["a.jpg", "b/c.jpg", "b/d/e.jpg", "f.jpg", "g ü.jpg"]
    for name in expected:
        storage.put(f"{bucket}/walk-pages/{name}", b"content")
    storage.put(f"{bucket}/walk-pages-2/other.jpg", b"content")
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    pages = list(walk_files(f"{bucket}/walk-pages/"))
    assert [len(page) for page in pages] == [2, 2, 1]
    assert names(pages) == expected
    assert pages[0][0].size == 7
    assert pages[0][0].etag == hashlib.md5(b"content").hexdigest()  # noqa: S324 - as S3 does
    assert pages[0][0].modified is not None
    levels = list(list_level(f"{bucket}/walk-pages"))
    assert names(page for page, _ in levels) == ["a.jpg", "f.jpg", "g ü.jpg"]
    assert [name for _, subfolders in levels for name in subfolders] == ["b"]
    assert len(names(walk_files(bucket))) >= 6


def test_a_missing_bucket_is_an_error(bucket: str) -> None:
    with pytest.raises(StorageNotFoundError):
        list(walk_files(f"{bucket}-none"))


class GoogleBucket(BaseHTTPRequestHandler):
    """Answers requests of pages of the bucket `photos` in the format of Google Cloud Storage."""

    names = ("in-2/f.jpg", "in/", "in/a.jpg", "in/b/c.jpg", "in/b/d e.jpg")

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        first = int(query.get("pageToken", 0))
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        found = [name for name in self.names if name.startswith(prefix) and name >= query.get("startOffset", "")]
        folders = {
            name[: name.index("/", len(prefix)) + 1] for name in found if delimiter and "/" in name[len(prefix) :]
        }
        found = [name for name in found if not any(name.startswith(folder) for folder in folders)]
        items = [{"name": name, "size": "7", "etag": "x", "updated": "2026-01-01T00:00:00Z"} for name in found]
        answer: dict[str, object] = {"kind": "storage#objects", "items": items[first : first + 2]}
        if folders:
            answer["prefixes"] = sorted(folders)
        if first + 2 < len(items):
            answer["nextPageToken"] = str(first + 2)
        self.send_response(200 if address.path == "/storage/v1/b/photos/o" else 404)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_arguments: object) -> None:
        """Print nothing."""


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", 0), GoogleBucket) as server:
        threading.Thread(target=server.serve_forever).start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setitem(fsspec.config.conf, "gs", {"token": "anon", "endpoint_url": address})
        yield
        server.shutdown()


@pytest.mark.usefixtures("google")
def test_a_bucket_of_google_is_listed_in_pages() -> None:
    pages = list(walk_files("gs://photos/in"))
    assert [len(page) for page in pages] == [1, 2]
    assert names(pages) == ["a.jpg", "b/c.jpg", "b/d e.jpg"]
    assert pages[0][0].size == 7
    assert pages[0][0].modified == datetime(2026, 1, 1, tzinfo=UTC)
    assert len(names(walk_files("gs://photos"))) == 4
    assert names(walk_files("gs://photos", "in")) == ["in-2/f.jpg"]
    assert names(walk_files("gs://photos/in", "b")) == ["a.jpg"]
    assert [(names([page]), folders) for page, folders in list_level("gs://photos/in")] == [(["a.jpg"], ["b"])]
    with pytest.raises(StorageNotFoundError):
        list(walk_files("gs://none/in"))
