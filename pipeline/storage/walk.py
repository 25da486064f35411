"""List the files below a folder in pages, so that the memory does not grow with the number of files.

A folder that cannot be listed is an error, because its files would otherwise be missing without notice.
"""

import logging
import os
import stat
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from fsspec.implementations.local import LocalFileSystem

from pipeline.storage.addresses import filesystem, join
from pipeline.storage.buckets import walk_gcs, walk_s3
from pipeline.storage.entries import Entry, Page
from pipeline.storage.redaction import redact
from pipeline.storage.requests import LISTING_SECONDS, request
from pipeline.storage.retry import translate_errors, with_retries

LOGGER = logging.getLogger("photo2anime.storage")

PAGE_FILES = 1000  # files of a page of a local folder


class _Folder(NamedTuple):
    """A local folder: its path below the root, and whether a link led to it."""

    name: str
    linked: bool = False


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
        yield from (page for page, _ in walk_s3(fs, root, folder, skip))
    elif _has_protocol(fs, "gs"):
        yield from (page for page, _ in walk_gcs(fs, root, folder, skip))
    else:
        yield from _walk_folders(fs, root.rstrip("/"), folder, skip)


def list_level(folder: str) -> Iterator[tuple[Page, list[str]]]:
    """List the files and the names of the subfolders of a folder in pages, without the files of the subfolders.

    The name of the subfolder of a bucket is empty if keys have two slashes after the folder.

    Args:
        folder: The address of the folder. Links of a local folder are followed.

    Raises:
        StorageError: The folder cannot be listed.
    """
    fs, root = filesystem(folder)
    if isinstance(fs, LocalFileSystem):
        yield from _list_local(root)
    elif _has_protocol(fs, "s3"):
        yield from walk_s3(fs, root, folder, delimiter="/")
    elif _has_protocol(fs, "gs"):
        yield from walk_gcs(fs, root, folder, delimiter="/")
    else:
        fs.invalidate_cache()
        with translate_errors(folder):
            entries = _list_folder(fs, root.rstrip("/"))
        names = [
            (entry["name"].rstrip("/").rpartition("/")[2], entry)
            for entry in entries
            if entry["name"].rstrip("/") != root.rstrip("/")  # some object stores list the object that marks the folder
        ]
        page = [Entry.of(name, entry) for name, entry in names if entry["type"] != "directory"]
        yield page, [name for name, entry in names if entry["type"] == "directory"]


def _list_local(root: str) -> Iterator[tuple[Page, list[str]]]:
    entries = _entries(root, is_root=True)
    while found := list(islice(entries, PAGE_FILES)):
        files = [Entry.of(entry.name, info) for entry, info in found if info["type"] == "file"]
        yield files, [entry.name for entry, info in found if info["type"] == "directory"]


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
    entries: list[dict[str, Any]] = with_retries(
        lambda: request(fs, "ls", folder, detail=True, seconds=LISTING_SECONDS)
    )
    fs.invalidate_cache(folder)
    return entries
