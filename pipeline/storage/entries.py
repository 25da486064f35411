"""The files of a listing."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias


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


def _time(modified: datetime | float | str | None) -> datetime | None:
    if isinstance(modified, str):
        return datetime.fromisoformat(modified)
    if isinstance(modified, (int, float)):
        return datetime.fromtimestamp(modified, UTC)
    return modified
