"""The problems of an output that `pipeline.output.verify` finds."""

from dataclasses import dataclass, field


@dataclass
class Findings:
    """The problems of an output, as one line of text each, and the files and records that `repair` deletes.

    Attributes:
        rows: The number of planned rows.
        files: The number of image files that the records name.
        checked: The number of files whose content was compared with their record.
        missing: Planned rows without a row in a record, and recorded files that do not exist.
        duplicate: Rows that were recorded more than once, or planned in several units.
        orphaned: Records and rows that were not planned, and files that no record names.
        altered: Files whose content differs from their record, and records that cannot be read or are of another unit.
        damaged_units: Planned units whose records `repair` deletes, so that the next run converts them again.
        unplanned_units: Units of records that are in no plan. `repair` keeps these records and the files of the units.
        missing_rows: The number of planned rows that the next run converts even without `repair`.
        orphaned_files: The files that `repair` deletes, relative to the output.
    """

    rows: int = 0
    files: int = 0
    checked: int = 0
    missing: list[str] = field(default_factory=list)
    duplicate: list[str] = field(default_factory=list)
    orphaned: list[str] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)
    damaged_units: set[str] = field(default_factory=set)
    unplanned_units: set[str] = field(default_factory=set)
    missing_rows: int = 0
    orphaned_files: list[str] = field(default_factory=list)

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
