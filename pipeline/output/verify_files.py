"""Compare the files of an output with the records: their names, and the content of all files or of a share."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.output import provenance
from pipeline.output.file_content import ContentCheck, RecordedFile
from pipeline.output.findings import Findings, Units
from pipeline.output.verify_rows import DROPPED
from pipeline.storage.database import Database

FOLDERS = ("images", "maps", "masks")
LISTED = 256  # subfolders that are listed together
BATCH = 8192  # files that are compared together
_HASHES = 2**64

_RECORDS = "(SELECT *, false AS dropped FROM records)"
_WITH_DROPPED = f"""(
    SELECT r.*, d.unit IS NOT NULL AS dropped FROM records r
    LEFT JOIN {DROPPED} d ON r.file_unit = d.unit AND r.position = d.position
)"""
# The files that the records name, from one pass over the records.
_NAMED = """
    SELECT file.name AS name, file_unit AS unit, file.sha256 AS sha256, dropped FROM (
        SELECT file_unit, dropped, unnest(list_concat(
            [{{name: uri, sha256: sha256}}, {{name: label_mask_uri, sha256: label_mask_sha256}}],
            list_transform(
                list_filter(controls, lambda control: control.uri IS NOT NULL),
                lambda control: {{name: control.uri, sha256: control.file_sha256}}
            )
        )) AS file FROM {source}
    ) WHERE file.name IS NOT NULL
"""


class FileComparison:
    """Compares the files of an output with the view `records`.

    Args:
        output: The address of the output.
        units: The names of its units.
        findings: Receives the findings about files.
        sample: The share of the files whose content is compared, from 0 to 1.
    """

    def __init__(self, output: str, units: Units, findings: Findings, sample: float) -> None:
        self._output = output
        self._units = units
        self._findings = findings
        self._sample = sample

    def run(self, database: Database, check_content: ContentCheck) -> None:
        """Compare the names of all files, and the content of the sample."""
        database.run("CREATE OR REPLACE TEMP TABLE listed (name VARCHAR)")
        for names in _list_files(self._output):
            self._insert(names, database)
        for file in check_content(self._output, self._existing_files(database)):
            self._findings.altered.add(f"{file.name}: the content differs from its record")
            self._findings.damaged_units |= {file.unit} & self._units.planned

    def _existing_files(self, database: Database) -> Iterator[list[RecordedFile]]:
        """Yield the recorded files of the sample that exist. The other recorded or existing files become findings."""
        named = _NAMED.format(source=_RECORDS)
        if self._findings.dropped_rows:  # a file is kept if a row that is not dropped names it too
            named = f"SELECT DISTINCT ON (name) * FROM ({_NAMED.format(source=_WITH_DROPPED)}) ORDER BY name, dropped"
        chosen = f"md5_number_lower(n.name) < {int(self._sample * _HASHES)}"  # the same files in every verification
        compared = (
            f"SELECT n.name AS name, unit, sha256, dropped, l.name AS listed, {chosen} AS chosen"
            f" FROM ({named}) n FULL OUTER JOIN listed l ON n.name = l.name"
        )
        for batch in database.batches(compared, BATCH):
            listed, dropped = pc.is_valid(batch["listed"]), pc.fill_null(batch["dropped"], False)
            recorded = pc.equal(batch["dropped"], False)  # null for a file that no record names
            self._findings.files += pc.sum(recorded).as_py() or 0
            self._add_unnamed(batch.filter(pc.is_null(batch["name"]))["listed"].to_pylist())
            self._add_orphaned(batch.filter(pc.and_(dropped, listed))["listed"].to_pylist())
            self._add_missing(batch.filter(pc.and_(recorded, pc.invert(listed))))
            selected = batch.filter(pc.and_(pc.and_(recorded, listed), pc.fill_null(batch["chosen"], False)))
            self._findings.checked += selected.num_rows
            if selected.num_rows:
                columns = [selected[name].to_pylist() for name in RecordedFile._fields]
                yield [RecordedFile(*values) for values in zip(*columns, strict=True)]

    def _add_unnamed(self, names: list[str]) -> None:
        """Add files that no record names. Those of a unit in no plan are kept, because its record may be damaged."""
        self._add_orphaned([name for name in names if _unit_of(name) not in self._findings.unplanned_units])

    def _add_orphaned(self, names: list[str]) -> None:
        for name in names:
            self._findings.orphaned.add(f"{storage.escape(name)}: not in a record")
            self._findings.orphaned_files.add(name)

    def _add_missing(self, files: pa.RecordBatch) -> None:
        for name in files["name"].to_pylist():
            self._findings.missing.add(f"{name}: the file does not exist")
        self._findings.damaged_units |= set(files["unit"].to_pylist()) & self._units.planned

    def _insert(self, names: list[str], database: Database) -> None:
        """Add the names of files to the table `listed`. A name that is not valid Unicode cannot be in a record."""
        invalid = {name for name in names if storage.escape(name) != name}
        self._add_unnamed(sorted(invalid))
        valid = [name for name in names if name not in invalid] if invalid else names
        database.connection.register("names", pa.table({"name": pa.array(valid, pa.string())}))
        database.run("INSERT INTO listed FROM names")
        database.connection.unregister("names")


def _unit_of(name: str) -> str:
    """Return the unit of a file in one of `FOLDERS`, such as `images/<unit>/<file>`."""
    return name.split("/")[1]


def _list_files(output: str) -> Iterator[list[str]]:
    """Yield the names of all files in `FOLDERS`, relative to the output, for some subfolders at a time.

    A folder in `FOLDERS` may be a link to another disk. All links in it are listed as files, and are not followed.
    """
    for folder in FOLDERS:
        root = storage.join(output, folder)
        yield [f"{folder}/{name}" for name in storage.names(root)]
        subfolders = storage.folders(root)
        for start in range(0, len(subfolders), LISTED):
            yield [f"{folder}/{name}" for name in _list_subfolders(root, subfolders[start : start + LISTED])]


def _list_subfolders(root: str, subfolders: list[str]) -> list[str]:
    with ThreadPoolExecutor(provenance.READERS) as readers:
        listed = readers.map(lambda name: storage.file_names(storage.join(root, name)), subfolders)
        return [f"{subfolder}/{name}" for subfolder, names in zip(subfolders, listed, strict=True) for name in names]
