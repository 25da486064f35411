"""List the objects of buckets of S3 and Google Cloud Storage in pages."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pipeline.storage import requests
from pipeline.storage.entries import Entry, Page
from pipeline.storage.retry import translate_errors, with_retries

PAGE_FILES = 1000  # the default of both storages
_LAST_CHARACTER = "\U0010ffff"  # sorted behind all keys of a folder


class _Answer(NamedTuple):
    """One page of a listing of a bucket."""

    objects: list[tuple[str, dict[str, Any]]]  # keys and details
    prefixes: list[str]  # of the subfolders; only with a delimiter
    token: str | None  # of the next page


def walk_s3(fs: Any, root: str, uri: str, skip: str = "", delimiter: str = "") -> Iterator[tuple[Page, list[str]]]:  # noqa: ANN401 - likewise
    """List the objects of a bucket of S3, as `_walk_bucket` does."""
    bucket, key, _ = fs.split_path(root.rstrip("/"))

    def request(prefix: str, token: str | None, start: str | None) -> _Answer:
        place = {"ContinuationToken": token} if token else {"StartAfter": start} if start else {}
        options: dict[str, Any] = {"Bucket": bucket, "Delimiter": delimiter, **place}
        with translate_errors(uri):
            answer = with_retries(
                lambda: requests.request(fs, "call_s3", "list_objects_v2", Prefix=prefix, **options, **fs.req_kw)
            )
        objects = [(entry["Key"], entry) for entry in answer.get("Contents", [])]
        prefixes = [entry["Prefix"] for entry in answer.get("CommonPrefixes", [])]
        return _Answer(objects, prefixes, answer.get("NextContinuationToken"))

    is_sorted = not bucket.endswith("--x-s3")  # S3 Express lists the keys of its buckets in any order
    return _walk_bucket(request, key, skip, is_sorted=is_sorted)


def walk_gcs(fs: Any, root: str, uri: str, skip: str = "", delimiter: str = "") -> Iterator[tuple[Page, list[str]]]:  # noqa: ANN401 - likewise
    """List the objects of a bucket of Google Cloud Storage, as `_walk_bucket` does."""
    bucket, _, key = root.rstrip("/").partition("/")

    def request(prefix: str, token: str | None, start: str | None) -> _Answer:
        options = {"delimiter": delimiter, "pageToken": token, "startOffset": None if token else start}
        given: dict[str, Any] = {name: value for name, value in options.items() if value}
        given |= {"json_out": True, "prefix": prefix, "maxResults": PAGE_FILES}
        with translate_errors(uri):
            answer = with_retries(lambda: requests.request(fs, "call", "GET", "b/{}/o", bucket, **given))
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
