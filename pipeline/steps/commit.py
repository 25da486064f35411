"""Write the images of rows, and return their rows of provenance. `pipeline.output.record_writer` writes the records.

File names consist of the unit, the photo, the key and the variant, so that a repeated unit overwrites its own files.
"""

import hashlib
import json
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypeAlias

import pyarrow as pa

from pipeline import storage
from pipeline.errors import RunError
from pipeline.output.lease_check import check_holder
from pipeline.output.run_file import RunMetadata
from pipeline.steps.canvas import canvas_padding, enlarge_canvas, image_size
from pipeline.steps.encode import FILE_EXTENSIONS, encode_pixels
from pipeline.steps.row_step import add_seconds, failed_row, photo_error, table_to_rows
from schemas.arrow import to_table
from schemas.provenance import ControlRecord, RecordRow
from schemas.recipe import Control, Output, Recipe
from schemas.row_parts import Canvas, MadeBy, MapFacts, Pixels
from schemas.work import Encoded, Failed, Mapped, Planned

SLUG_LENGTH = 60

Finished: TypeAlias = Encoded | Mapped | Failed
"""A row at the end of the chain: `Encoded`, or `Mapped` in mode `maps`, or `Failed`."""


@dataclass(frozen=True)
class _Files:
    """The columns of a record that describe the image and the mask of a row."""

    uri: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    label_mask_uri: str | None = None
    label_mask_sha256: str | None = None


class Commit:
    """Writes the files of rows to an output.

    Args:
        output: Address of the output.
        metadata: The metadata of the run, which are the same for all rows.
        keep_maps: Whether to write the control maps too. In mode `maps`, they are always written.
        holder: The identifier of the holder of the lease, which is checked before files are written. None for an output
            that no other run can write to.
    """

    def __init__(
        self, output: str, metadata: RunMetadata, *, keep_maps: bool = False, holder: str | None = None
    ) -> None:
        self.output = output
        self._holder = holder
        self._metadata = metadata
        self._recipe: Recipe = metadata.recipe
        recipe = metadata.recipe.model_dump(mode="json", exclude={"description"})
        self._settings = json.dumps(storage.redact_all(recipe))
        self.keep_maps = keep_maps or metadata.recipe.mode == "maps"
        self._row_type: type[Encoded | Mapped] = Mapped if metadata.recipe.mode == "maps" else Encoded

    def __call__(self, table: pa.Table) -> pa.Table:
        """Write the files of the rows in a table, and return a table of `schemas.provenance.RecordRow` rows.

        Raises:
            OutputError: A file cannot be written.
            StorageError: A storage request failed.
            LeaseLostError: Another run took over the output, whose files may not be replaced.
        """
        if self._holder is not None:
            check_holder(self.output, self._holder)
        return to_table([self._write(row) for row in table_to_rows(table, self._row_type)], RecordRow)

    def record_failures(self, rows: Sequence[Failed]) -> pa.Table:
        """Return the rows of provenance of failed rows."""
        return to_table([self._write(row) for row in rows], RecordRow)

    def _write(self, row: Finished) -> RecordRow:
        """Write the files of a row, and return its record. An unknown exception becomes the failure of the row."""
        try:
            return self._write_row(row)
        except RunError:
            raise
        except Exception as error:
            if isinstance(row, Failed):
                raise
            return self._write_row(failed_row(row, "commit", photo_error(error)))

    def _write_row(self, row: Finished) -> RecordRow:
        begin = time.perf_counter()
        enlarged = self._enlarge(row)
        files = _Files() if isinstance(enlarged, Failed) else self._write_files(enlarged)
        # Control maps are not upscaled, so their padding is that of `row`, not of `enlarged`.
        controls = tuple(self._control(row, index) for index in range(len(self._recipe.detectors)))
        enlarged = add_seconds(enlarged, "commit", time.perf_counter() - begin)
        return self._record(enlarged, files, controls)

    def _enlarge(self, row: Finished) -> Finished:
        """Return a row whose `canvas` describes the upscaled image. Failed rows are returned unchanged."""
        if isinstance(row, Failed):
            return row
        return replace(row, canvas=enlarge_canvas(row.canvas, self._recipe.enlargement))

    def _record(self, row: Finished, files: _Files, controls: tuple[ControlRecord, ...]) -> RecordRow:
        planned, source = row.planned, row.source
        columns: dict[str, Any] = {
            **dict.fromkeys(field.name for field in fields(RecordRow)),
            **{name: getattr(planned, name) for name in _SHARED_WITH_PLAN},
            **_canvas_columns(row),
            **_made_by_columns(getattr(row, "made_by", None)),
            **asdict(files),
            "status": "failed" if isinstance(row, Failed) else "done",
            "run_id": self._metadata.run_id,
            "source_uri": storage.redact(planned.uri) if planned.uri else None,
            "source_sha256": source.sha256 if source else None,
            "source_bytes": source.bytes if source else None,
            "reference_uri": storage.redact(planned.reference_uri) if planned.reference_uri else None,
            "recipe": self._recipe.name,
            "settings": self._settings,
            "controls": controls,
            "project_version": self._metadata.project_version,
            "git_commit": self._metadata.git_commit,
            "attempts": row.timing.attempts,
            "started": row.timing.started,
            "seconds": row.timing.seconds,
            "failure": row.failure if isinstance(row, Failed) else None,
        }
        return RecordRow(**columns)

    def _write_files(self, row: Encoded | Mapped) -> _Files:
        """Write the image and the mask of a row. A mask is omitted if too little of it is visible."""
        files = _Files()
        content = row.image if isinstance(row, Encoded) else None
        if content is not None:
            extension = FILE_EXTENSIONS[self._recipe.output.format]
            name = f"images/{row.planned.unit}/{image_name(row.planned)}.{extension}"
            files = _Files(name, self._put(name, content), len(content))
        mask, visible = row.canvas.mask, row.canvas.labels.mask_visible
        if mask is not None and (visible or 0) >= self._recipe.min_visible:
            name = f"masks/{row.planned.unit}/{image_name(row.planned)}.png"
            files = replace(files, label_mask_uri=name, label_mask_sha256=self._put(name, mask))
        return files

    def _control(self, row: Finished, index: int) -> ControlRecord:
        """Write the map of one detector if maps are kept, and return its columns."""
        detector = self._recipe.detectors[index].name
        # A region's detector that no control has comes last, and its map has no ControlNet.
        network = _network(self._recipe.controls[index]) if index < len(self._recipe.controls) else {}
        control_map = row.maps[index] if row.maps else None
        if control_map is None:
            return ControlRecord(detector, **network)
        facts = {field.name: getattr(control_map, field.name) for field in fields(MapFacts)}
        if self.keep_maps and row.canvas and control_map.pixels is not None:
            content = _map_file(control_map.pixels, row.canvas)
            uri = f"maps/{row.planned.unit}/{image_name(row.planned)}.{detector}.png"
            facts |= {"uri": uri, "file_sha256": self._put(uri, content)}
        return ControlRecord(**facts, **network)

    def _put(self, name: str, content: bytes) -> str:
        """Write a file to the output, and return its SHA-256."""
        storage.put(storage.join(self.output, name), content)
        return hashlib.sha256(content).hexdigest()


_SHARED_WITH_PLAN = [field.name for field in fields(Planned) if field.name in RecordRow.__dataclass_fields__]


def image_name(row: Planned) -> str:
    """Return the name of a row's files without extension: readable, valid on all systems, and unique in a unit."""
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", row.photo_id).strip("-")[:SLUG_LENGTH] or "photo"
    return f"{slug}-{row.key[:10]}-v{row.variant}"


def _canvas_columns(row: Finished) -> dict[str, Any]:
    """Return the columns of a row's canvas. A failed row has no image, so its width and height are omitted."""
    if row.canvas is None:
        return {}
    width, height = image_size(row.canvas)
    shared = ("source_width", "source_height", "source_profile", "transform", "padding", "labels")
    columns = {name: getattr(row.canvas, name) for name in shared}
    return columns if isinstance(row, Failed) else columns | {"width": width, "height": height}


def _made_by_columns(made_by: MadeBy | None) -> dict[str, Any]:
    return {} if made_by is None else {field.name: getattr(made_by, field.name) for field in fields(MadeBy)}


def _map_file(pixels: Pixels, canvas: Canvas) -> bytes:
    """Return the PNG file of a control map, without the padding of the canvas."""
    return encode_pixels(canvas_padding(canvas).cut(pixels), Output(format="png"))


def _network(control: Control) -> dict[str, Any]:
    """Return the columns of the ControlNet that uses a map."""
    name = storage.redact(control.net.name)
    return {"net": name, "scale": control.scale, "start": control.start, "end": control.end}
