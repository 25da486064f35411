"""List the files below a folder in pages, so that the memory does not grow with the number of files.

A folder that cannot be listed is an error, because its files would otherwise be missing without notice.
"""

import logging
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeAlias

from fsspec.implementations.local import LocalFileSystem

from pipeline.storage.addresses import filesystem, join
from pipeline.storage.redaction import redact
from pipeline.storage.retry import translate_errors, with_retries

LOGGER = logging.getLogger("photo2anime.storage")

PAGE_FILES = 1000  # files of a page of a local folder; S3 and Google Cloud Storage have pages of this number by default
_LAST_CHARACTER = "\U0010ffff"  # sorted behind all keys of a folder


@dataclass(frozen=True, order=True)
class Entry:
    """A listed file."""

    name: str  # the path relative to the listed folder
    size: int | None  # in bytes
    etag: str | None
    modified: datetime | None

    @classmethod
    def of(cls, name: str, info: dict[str, Any]) -> "Entry":
        """Create an entry from the details of a file, whose keys depend on the file system."""
        modified = info.get("LastModified") or info.get("last_modified") or info.get("updated") or info.get("mtime")
        etag, size = info.get("ETag") or info.get("etag"), info.get("Size", info.get("size"))
        return cls(name, None if size is None else int(size), str(etag).strip('"') if etag else None, _time(modified))


Page: TypeAlias = list[Entry]


class _Folder(NamedTuple):
    """A local folder: its path below the root, and whether a link led to it."""

    name: str
    linked: bool = False


def _time(modified: datetime | float | str | None) -> datetime | None:
    if isinstance(modified, str):
        return datetime.fromisoformat(modified)
    if isinstance(modified, (int, float)):
        return datetime.fromtimestamp(modified, UTC)
    return modified


def walk_files(folder: str, skip: str = "") -> Iterator[Page]:
    """List the files in a folder and its subfolders in pages.

    S3 and Google Cloud Storage are listed in pages, a local folder entry by entry. Other file systems list one
    subfolder after the other, so that a page holds all files of a subfolder. A link to a folder is followed unless the
    folder is below the root, or was listed through another link, so that links never form a loop.

    Args:
        folder: The address of the folder.
        skip: The path of a subfolder that is not listed, relative to the folder. Empty for none.

    Raises:
        StorageError: The folder or a subfolder cannot be listed.
    """
    fs, root = filesystem(folder)
    if isinstance(fs, LocalFileSystem):
        yield from _walk_local(root, skip)
    elif _has_protocol(fs, "s3"):
        yield from (page for page, _ in _walk_s3(fs, root, folder, skip))
    elif _has_protocol(fs, "gs"):
        yield from (page for page, _ in _walk_gcs(fs, root, folder, skip))
    else:
        yield from _walk_folders(fs, root.rstrip("/"), folder, skip)


def list_level(folder: str) -> Iterator[tuple[Page, list[str]]]:
    """List the files and the names of the subfolders of a folder in pages, without the files of the subfolders.

    Args:
        folder: The address of the folder, which is not a local one.

    Raises:
        StorageError: The folder cannot be listed.
    """
    fs, root = filesystem(folder)
    if _has_protocol(fs, "s3"):
        yield from _walk_s3(fs, root, folder, delimiter="/")
    elif _has_protocol(fs, "gs"):
        yield from _walk_gcs(fs, root, folder, delimiter="/")
    else:
        fs.invalidate_cache()
        with translate_errors(folder):
            entries = _list_folder(fs, root.rstrip("/"))
        names = [(entry["name"].rstrip("/").rpartition("/")[2], entry) for entry in entries]
        page = [Entry.of(name, entry) for name, entry in names if entry["type"] != "directory"]
        yield page, [name for name, entry in names if entry["type"] == "directory"]


def _walk_local(root: str, skip: str) -> Iterator[Page]:
    folders, page, links = [_Folder("")], Page(), _Links(root)
    while folders:
        folder = folders.pop()
        path = join(root, folder.name) if folder.name else root
        if folder.linked and not links.enter(path):
            continue
        subfolders = []
        for entry, info in _entries(path, is_root=not folder.name):
            name = f"{folder.name}/{entry.name}" if folder.name else entry.name
            if info["type"] == "file":
                page.append(Entry.of(name, info))
            elif name != skip:
                subfolders.append(_Folder(name, folder.linked or entry.is_symlink()))
            if len(page) == PAGE_FILES:
                yield page
                page = []
        folders += sorted(subfolders, reverse=True)  # which of several links is followed depends on their names only
    if page:
        yield page
    links.report()


class _Links:
    """The folders that were listed through links.

    Args:
        root: The path of the listed folder.
    """

    def __init__(self, root: str) -> None:
        self._root, self._entered = os.path.realpath(root), set[str]()
        self._left_out: list[str] = []

    def enter(self, path: str) -> bool:
        """Return whether the target of a link has not been listed yet, and mark it as listed."""
        target = os.path.realpath(path)
        if target in self._entered or os.path.commonpath([target, self._root]) == self._root:
            self._left_out.append(path)
            return False
        self._entered.add(target)
        return True

    def report(self) -> None:
        """Log how many linked folders were left out."""
        if self._left_out:
            text = "%s: left out %d link(s) to folders that are listed already, such as %s"
            LOGGER.warning(text, redact(self._root), len(self._left_out), redact(min(self._left_out)))


def _entries(path: str, *, is_root: bool) -> Iterator[tuple[os.DirEntry[str], dict[str, Any]]]:
    """Yield the entries of a folder with their details. An entry that is deleted meanwhile is left out."""
    with translate_errors(path):
        try:
            entries = os.scandir(path)
        except FileNotFoundError:
            if is_root:
                raise
            return
    with entries:
        while True:
            with translate_errors(path):
                entry = next(entries, None)
                if entry is None:
                    return
                info = _local_details(entry)
            if info is not None:
                yield entry, info


def _local_details(entry: os.DirEntry[str]) -> dict[str, Any] | None:
    """Return the details of a file or a folder, and for a link those of its target. Returns None for other entries."""
    if entry.is_dir(follow_symlinks=False):
        return {"type": "directory"}
    try:
        found = entry.stat()
    except OSError:  # a link without a target, which is listed, so that the run can record why the photo failed
        if not entry.is_symlink():
            return None  # deleted since the folder was read
        found = entry.stat(follow_symlinks=False)
    if stat.S_ISDIR(found.st_mode):
        return {"type": "directory"}
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISLNK(found.st_mode):
        return None
    return {"type": "file", "size": found.st_size, "mtime": found.st_mtime}


def _has_protocol(fs: Any, protocol: str) -> bool:  # noqa: ANN401 - the file systems of fsspec have no types
    return protocol in ([fs.protocol] if isinstance(fs.protocol, str) else fs.protocol)


class _Answer(NamedTuple):
    """One page of a listing of a bucket."""

    objects: list[tuple[str, dict[str, Any]]]  # keys and details
    prefixes: list[str]  # of the subfolders; only with a delimiter
    token: str | None  # of the next page


def _walk_s3(fs: Any, root: str, uri: str, skip: str = "", delimiter: str = "") -> Iterator[tuple[Page, list[str]]]:  # noqa: ANN401 - likewise
    """List the objects of a bucket of S3, as `_walk_bucket` does."""
    bucket, key, _ = fs.split_path(root.rstrip("/"))

    def request(prefix: str, token: str | None, start: str | None) -> _Answer:
        place = {"ContinuationToken": token} if token else {"StartAfter": start} if start else {}
        with translate_errors(uri):
            answer = fs.call_s3(  # which repeats the request after temporary errors
                "list_objects_v2", Bucket=bucket, Prefix=prefix, Delimiter=delimiter, **place, **fs.req_kw
            )
        objects = [(entry["Key"], entry) for entry in answer.get("Contents", [])]
        prefixes = [entry["Prefix"] for entry in answer.get("CommonPrefixes", [])]
        return _Answer(objects, prefixes, answer.get("NextContinuationToken"))

    is_sorted = not bucket.endswith("--x-s3")  # S3 Express lists the keys of its buckets in any order
    return _walk_bucket(request, key, skip, is_sorted=is_sorted)


def _walk_gcs(fs: Any, root: str, uri: str, skip: str = "", delimiter: str = "") -> Iterator[tuple[Page, list[str]]]:  # noqa: ANN401 - likewise
    """List the objects of a bucket of Google Cloud Storage, as `_walk_bucket` does."""
    bucket, _, key = root.rstrip("/").partition("/")

    def request(prefix: str, token: str | None, start: str | None) -> _Answer:
        options = {"delimiter": delimiter, "pageToken": token, "startOffset": None if token else start}
        given = {name: value for name, value in options.items() if value}
        with translate_errors(uri):
            answer = fs.call("GET", "b/{}/o", bucket, json_out=True, prefix=prefix, maxResults=PAGE_FILES, **given)
        objects = [(entry["name"], entry) for entry in answer.get("items", [])]
        return _Answer(objects, answer.get("prefixes", []), answer.get("nextPageToken"))

    return _walk_bucket(request, key, skip, is_sorted=True)


def _walk_bucket(
    request: Callable[[str, str | None, str | None], _Answer], key: str, skip: str, *, is_sorted: bool
) -> Iterator[tuple[Page, list[str]]]:
    """Yield the files whose keys have a prefix, and the names of the subfolders if the requests have a delimiter.

    Args:
        request: Returns a page for a prefix, the token of the page, and the key after which the listing starts.
        key: The key of the folder. Empty for the whole bucket.
        skip: The path of a subfolder whose pages are not requested. Empty for none.
        is_sorted: Whether the keys are sorted.
    """
    prefix = f"{key}/" if key else ""
    skipped = f"{prefix}{skip}/" if skip else None
    token: str | None = None
    start: str | None = None
    while True:
        answer = request(prefix, token, start)
        names = [name.removeprefix(prefix).rstrip("/") for name in answer.prefixes]
        yield _files_of(answer.objects, prefix, skipped), names
        if answer.token is None:
            return
        token = answer.token
        if is_sorted and skipped and answer.objects and answer.objects[-1][0].startswith(skipped):
            token, start = None, skipped + _LAST_CHARACTER


def _files_of(objects: list[tuple[str, dict[str, Any]]], prefix: str, skipped: str | None) -> Page:
    """Return the files of a page, without those of the skipped subfolder and the objects that mark folders."""
    return [
        Entry.of(key.removeprefix(prefix), info)
        for key, info in objects
        if not key.endswith("/") and not (skipped and key.startswith(skipped))
    ]


def _walk_folders(fs: Any, root: str, uri: str, skip: str) -> Iterator[Page]:  # noqa: ANN401 - likewise
    fs.invalidate_cache()
    folders = [root]
    while folders:
        folder = folders.pop()
        page = Page()
        with translate_errors(join(uri, folder.removeprefix(root).lstrip("/")) if folder != root else uri):
            entries = _list_folder(fs, folder)
        for entry in entries:
            name = entry["name"].rstrip("/")
            relative = name.removeprefix(f"{root}/")
            if name == folder:  # some object stores list the object that marks a folder in the folder itself
                continue
            if entry["type"] != "directory":
                page.append(Entry.of(relative, entry))
            elif relative != skip:
                folders.append(name)
        yield page


def _list_folder(fs: Any, folder: str) -> list[dict[str, Any]]:  # noqa: ANN401 - likewise
    """Return the entries of a folder, and remove them from the cache of the file system, which grows without limit."""
    entries: list[dict[str, Any]] = with_retries(lambda: fs.ls(folder, detail=True))
    fs.invalidate_cache(folder)
    return entries
