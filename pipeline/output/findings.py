"""The problems of an output that `pipeline.output.verify` finds, in memory that does not grow with their number."""

import json
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO

from pipeline.storage.temporary import full_disk_reported

KEPT_LINES = 1000  # lines of each kind of problem that are kept; all are counted
MEMORY = 2**20  # bytes of names in memory


class Lines:
    """Counts lines of text, and keeps the first ones in alphabetical order."""

    def __init__(self, lines: Iterable[str] = ()) -> None:
        self._lines: list[str] = []
        self._count = 0
        for line in lines:
            self.add(line)

    def add(self, line: str) -> None:
        """Add a line."""
        self._count += 1
        self._lines.append(line)
        if len(self._lines) == 2 * KEPT_LINES:
            self._lines = sorted(self._lines)[:KEPT_LINES]

    def first(self, number: int) -> list[str]:
        """Return the first lines in alphabetical order, at most `KEPT_LINES`."""
        return sorted(self._lines)[: min(number, KEPT_LINES)]

    def __len__(self) -> int:
        """Return the number of all lines."""
        return self._count


class NameFile:
    """A list of names in a temporary file, which may be larger than the memory. It is removed with this object."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(MEMORY, "w+", encoding="ascii")  # noqa: SIM115 - closed below
        weakref.finalize(self, _close, self._file)
        self._count = 0

    def add(self, name: str) -> None:
        """Add a name. Raises `DiskFullError` if the disk of temporary files is full."""
        with full_disk_reported():
            self._file.write(json.dumps(name) + "\n")  # because a name may contain line breaks
        self._count += 1

    def __iter__(self) -> Iterator[str]:
        """Yield all names. Do not add names during the iteration."""
        with full_disk_reported():  # this writes the names that are still in memory
            self._file.seek(0)
        yield from map(json.loads, self._file)

    def __len__(self) -> int:
        """Return the number of names."""
        return self._count


def _close(file: IO[str]) -> None:
    with suppress(OSError):  # the names in memory do not fit on a full disk, and are not needed
        file.close()


@dataclass
class Findings:
    """The problems of an output, as one line of text each, and the files and records that `repair` deletes.

    Attributes:
        rows: The number of planned rows.
        files: The number of image files that the records name.
        checked: The number of files whose content was compared with their record.
        missing: Planned rows without a row in a record, and recorded files that do not exist.
        duplicate: Rows that were recorded more than once or in another unit, or planned in several units.
        orphaned: Records and rows that were not planned, and files that no record names.
        altered: Files whose content differs from their record, damaged files of records, plans and recipes, and records
            with rows of another unit.
        damaged_units: Planned units whose records `repair` deletes, so that the next run converts them again.
        dropped_rows: The rows that `repair` removes from records, as `<unit>/<position>`, in this order.
        doubled_plans: Whether plans contain a row in several units.
        unplanned_units: Units of records that are in no plan. `repair` keeps these records and the files of the units.
        missing_rows: The number of planned rows that the next run converts even without `repair`.
        orphaned_files: The files that `repair` deletes, relative to the output.
    """

    rows: int = 0
    files: int = 0
    checked: int = 0
    missing: Lines = field(default_factory=Lines)
    duplicate: Lines = field(default_factory=Lines)
    orphaned: Lines = field(default_factory=Lines)
    altered: Lines = field(default_factory=Lines)
    damaged_units: set[str] = field(default_factory=set)
    dropped_rows: NameFile = field(default_factory=NameFile)
    doubled_plans: bool = False
    unplanned_units: set[str] = field(default_factory=set)
    missing_rows: int = 0
    orphaned_files: NameFile = field(default_factory=NameFile)

    @property
    def valid(self) -> bool:
        """Whether no problem was found."""
        return not (self.missing or self.duplicate or self.orphaned or self.altered)


@dataclass(frozen=True)
class Units:
    """The names of the units of an output.

    Attributes:
        planned: The units of the plans.
        recorded: The units that have a record.
    """

    planned: frozenset[str]
    recorded: frozenset[str]
