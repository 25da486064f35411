"""List the files below a folder in pages, so that the memory does not grow with the number of files.

A folder that cannot be listed is an error, because its files would otherwise be missing without notice.
"""

import logging
import os
import stat
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

from fsspec.implementations.local import LocalFileSystem

from pipeline.storage.addresses import filesystem, join
from pipeline.storage.redaction import redact
from pipeline.storage.retry import translate_errors, with_retries

LOGGER = logging.getLogger("photo2anime.storage")

PAGE_FILES = 1000  # files of a page of a local folder; S3 and Google Cloud Storage have pages of this number by default

Page: TypeAlias = list[tuple[str, dict[str, Any]]]
"""Files: the path relative to the listed folder, and the fsspec details (size, etag and others)."""


class _Folder(NamedTuple):
    """A local folder: its path below the root, and the real paths of the folders with the links that led to it."""

    name: str
    links: tuple[str, ...] = ()


def walk_files(folder: str, skip: str = "") -> Iterator[Page]:
    """List the files in a folder and its subfolders in pages.

    S3 and Google Cloud Storage are listed in pages, a local folder entry by entry. Other file systems list one
    subfolder after the other, so that a page holds all files of a subfolder. A link to a folder that it is in is not
    followed, because it forms a loop.

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
        yield from _walk_s3(fs, root, folder)
    elif _has_protocol(fs, "gs"):
        yield from _walk_gcs(fs, root, folder)
    else:
        yield from _walk_folders(fs, root.rstrip("/"), folder, skip)


def _walk_local(root: str, skip: str) -> Iterator[Page]:
    folders, page = [_Folder("")], Page()
    while folders:
        folder = folders.pop()
        path = join(root, folder.name) if folder.name else root
        with translate_errors(path), os.scandir(path) as entries:
            for entry in entries:
                name = f"{folder.name}/{entry.name}" if folder.name else entry.name
                info = _local_details(entry)
                if info is None:
                    continue
                if info["type"] == "file":
                    page.append((name, info))
                elif name != skip and (links := _links_to(entry, path, folder.links)) is not None:
                    folders.append(_Folder(name, links))
                if len(page) == PAGE_FILES:
                    yield page
                    page = []
    if page:
        yield page


def _local_details(entry: os.DirEntry[str]) -> dict[str, Any] | None:
    """Return the details of a file or a folder, and for a link those of its target. Returns None for other entries."""
    if entry.is_dir(follow_symlinks=False):
        return {"type": "directory"}
    try:
        found = entry.stat()
    except OSError:  # a link without a target, which is listed, so that the run can record why the photo failed
        found = entry.stat(follow_symlinks=False)
    if stat.S_ISDIR(found.st_mode):
        return {"type": "directory"}
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISLNK(found.st_mode):
        return None
    return {"type": "file", "size": found.st_size, "mtime": found.st_mtime}


def _links_to(entry: os.DirEntry[str], parent: str, links: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return `_Folder.links` of a subfolder. Returns None for a link to a folder that it is in, which is a loop."""
    if not entry.is_symlink():
        return links
    target, links = os.path.realpath(entry.path), (*links, os.path.realpath(parent))
    if any(os.path.commonpath([target, path]) == target for path in links):
        LOGGER.warning("%s: a link to a folder that it is in, which is not followed", redact(entry.path))
        return None
    return links


def _has_protocol(fs: Any, protocol: str) -> bool:  # noqa: ANN401 - the file systems of fsspec have no types
    return protocol in ([fs.protocol] if isinstance(fs.protocol, str) else fs.protocol)


def _walk_s3(fs: Any, root: str, uri: str) -> Iterator[Page]:  # noqa: ANN401 - likewise
    """List the objects of a bucket whose keys have a prefix. Each request returns one page of all subfolders."""
    bucket, key, _ = fs.split_path(root.rstrip("/"))
    prefix = f"{key}/" if key else ""
    request = {"Bucket": bucket, "Prefix": prefix, **fs.req_kw}
    while True:
        with translate_errors(uri):
            answer = fs.call_s3("list_objects_v2", **request)  # which repeats the request after temporary errors
        yield [
            (entry["Key"].removeprefix(prefix), {**entry, "size": entry["Size"], "type": "file"})
            for entry in answer.get("Contents", [])
            if not entry["Key"].endswith("/")
        ]
        if not answer.get("IsTruncated"):
            return
        request["ContinuationToken"] = answer["NextContinuationToken"]


def _walk_gcs(fs: Any, root: str, uri: str) -> Iterator[Page]:  # noqa: ANN401 - likewise
    """List the objects of a bucket of Google Cloud Storage whose names have a prefix, as `_walk_s3` does."""
    bucket, _, key = root.rstrip("/").partition("/")
    prefix = f"{key}/" if key else ""
    request = {"prefix": prefix, "maxResults": PAGE_FILES}
    while True:
        with translate_errors(uri):
            answer = fs.call("GET", "b/{}/o", bucket, json_out=True, **request)
        yield [
            (entry["name"].removeprefix(prefix), {**entry, "size": int(entry["size"]), "type": "file"})
            for entry in answer.get("items", [])
            if not entry["name"].endswith("/")
        ]
        if "nextPageToken" not in answer:
            return
        request["pageToken"] = answer["nextPageToken"]


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
                page.append((relative, entry))
            elif relative != skip:
                folders.append(name)
        yield page


def _list_folder(fs: Any, folder: str) -> list[dict[str, Any]]:  # noqa: ANN401 - likewise
    """Return the entries of a folder, and remove them from the cache of the file system, which grows without limit."""
    entries: list[dict[str, Any]] = with_retries(lambda: fs.ls(folder, detail=True))
    fs.invalidate_cache(folder)
    return entries
