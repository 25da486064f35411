"""The pictures of a unit, then its record: after the record's one atomic put the unit is done, before it is not.

Names follow from what is in them, so that doing a unit twice writes the same files over themselves.
"""

import hashlib
import json
import re
import time

import pyarrow as pa

from pipeline import storage
from pipeline.errors import RunStoppedError
from pipeline.output.provenance import read_record, record_uri
from pipeline.output.run_file import RunMetadata
from pipeline.plan.plan import unit_name
from pipeline.steps.canvas import as_pixels, enlarged_columns, row_padding
from pipeline.steps.encode import FILE_EXTENSIONS, encode_pixels
from pipeline.steps.row_step import add_seconds
from schemas.provenance import PROVENANCE
from schemas.recipe import Control, Output
from schemas.work import COMMITTED, MADE_BY, Row

SLUG_LENGTH = 60


class Commit:
    """Writes units below `output`; with `keep_maps` the control maps too, which a recipe of mode maps always keeps.

    With `keep_done` a unit that has a record already keeps the rows of it that are done: only failures are replaced.
    """

    def __init__(self, output: str, facts: RunMetadata, *, keep_maps: bool = False, keep_done: bool = False) -> None:
        self.output = output
        self._facts = facts
        self._settings = json.dumps(storage.redact_all(facts.recipe.model_dump(mode="json", exclude={"description"})))
        self._keep_maps = keep_maps or facts.recipe.mode == "maps"
        self._keep_done = keep_done

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Write the whole units in a batch of `schemas.work.ENCODED`; return one row of `COMMITTED` for each row.

        Raises `OutputError`, `StorageError` or, for half a unit, `RunStoppedError`: what has no record is done again.
        """
        units: dict[str, list[Row]] = {}
        for row in batch.to_pylist():
            units.setdefault(row["unit"], []).append(row)
        recorded = [row for unit, rows in units.items() for row in self._commit(unit, rows)]
        committed = [{**row, "failed": row["status"] == "failed", **_counts(row)} for row in recorded]
        return pa.Table.from_pylist(committed, COMMITTED)

    def _commit(self, unit: str, rows: list[Row]) -> list[Row]:
        """Put a unit's pictures, then its record; return the record's rows."""
        if unit_name([row["key"] for row in rows]) != unit:
            message = f"unit {unit} came apart on its way: {len(rows)} of its rows arrived together"
            raise RunStoppedError(message, "This is a fault of the program: please report it.")
        for folder in ("images", "maps", "masks"):
            storage.remove_partial_files(storage.join(self.output, folder, unit))
        before = self._done_before(unit) if self._keep_done else {}
        record = [before.get(row["key"]) or self._written(row) for row in rows]
        storage.put_table(record_uri(self.output, unit), pa.Table.from_pylist(record, PROVENANCE))
        return record

    def _done_before(self, unit: str) -> dict[str, Row]:
        """Return the rows of a unit's earlier record that are done, by key."""
        if not storage.exists(record_uri(self.output, unit)):
            return {}
        return {row["key"]: row for row in read_record(self.output, unit).to_pylist() if row["status"] == "done"}

    def _written(self, row: Row) -> Row:
        """Put the picture, the mask and the kept maps of a row; return its row of provenance."""
        began = time.perf_counter()
        large = row | enlarged_columns(
            row, self._facts.recipe.enlargement
        )  # maps are of the canvas, all else of the picture
        picture = {} if row["failure"] else self._put_picture(row) | self._put_mask(large)
        controls = [self._control(row, place) for place in range(len(self._facts.recipe.detectors))]
        add_seconds(row, "commit", time.perf_counter() - began)
        facts = self._facts
        same = {name: large[name] for name in PROVENANCE.names if name in large} | {"seconds": row["seconds"]}
        return {
            **same,
            **{field.name: (row.get("made_by") or {}).get(field.name) for field in MADE_BY},
            **_size(row, facts.recipe.enlargement),
            **picture,
            "status": "done" if row["failure"] is None else "failed",
            "run_id": facts.run_id,
            "uri": picture.get("uri"),
            "source_uri": storage.redact(row["uri"]) if row["uri"] else None,
            "reference_uri": storage.redact(row["reference_uri"]) if row["reference_uri"] else None,
            "recipe": facts.recipe.name,
            "settings": self._settings,
            "controls": controls,
            "project_version": facts.project_version,
            "git_commit": facts.git_commit,
            "attempts": row["attempts"] or 1,
        }

    def _put_picture(self, row: Row) -> Row:
        content = row.get("picture_bytes")
        if content is None:
            return {}  # maps alone
        extension = FILE_EXTENSIONS[self._facts.recipe.output.format]
        name = f"images/{row['unit']}/{image_name(row)}.{extension}"
        storage.put(storage.join(self.output, name), content)
        return {"uri": name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}

    def _put_mask(self, row: Row) -> Row:
        """Put the manifest's mask, unless too little of it is in the picture."""
        if row["mask"] is None or (row["labels"]["mask_visible"] or 0) < self._facts.recipe.min_visible:
            return {}
        name = f"masks/{row['unit']}/{image_name(row)}.png"
        storage.put(storage.join(self.output, name), row["mask"])
        return {"label_mask_uri": name, "label_mask_sha256": hashlib.sha256(row["mask"]).hexdigest()}

    def _control(self, row: Row, place: int) -> Row:
        """Return the columns of `schemas.provenance.CONTROL`, the map's own null where the row failed before it."""
        recipe = self._facts.recipe
        name = recipe.detectors[place].name
        chosen = _net(recipe.controls[place]) if place < len(recipe.controls) else {}  # a region's map has no net
        if not row["maps"] or row["maps"][place] is None:
            return {"detector": name, **chosen}
        drawn = dict(row["maps"][place])
        raw = drawn.pop("pixels")
        if self._keep_maps:
            pixels = row_padding(row).cut(as_pixels(row, raw))  # [H, W, 3], RGB: as the picture
            content = encode_pixels(pixels, Output(format="png"))
            uri = f"maps/{row['unit']}/{image_name(row)}.{name}.png"
            storage.put(storage.join(self.output, uri), content)
            drawn |= {"uri": uri, "file_sha256": hashlib.sha256(content).hexdigest()}
        return {**drawn, **chosen}


def _net(control: Control) -> Row:
    return {
        "net": storage.redact(control.net.name), "scale": control.scale, "start": control.start, "end": control.end,
    }  # fmt: skip


def _size(row: Row, times: int) -> Row:
    """Return the picture's width and height, `times` the canvas's without its padding; null where there is none."""
    if row["failure"]:
        return {"width": None, "height": None}
    padding = row_padding(row)
    width, height = row["width"] * times, row["height"] * times
    return {"width": width - padding.left - padding.right, "height": height - padding.top - padding.bottom}


def _counts(recorded: Row) -> Row:
    """Return how many maps a detector drew for a row of provenance, and how many were there already."""
    origins = [(each["origin"], each["cached"]) for each in recorded["controls"] if each.get("origin") == "detected"]
    cached = sum(bool(cached) for _, cached in origins)
    return {"detected": len(origins) - cached, "cached": cached}


def image_name(row: Row) -> str:
    """Return a file's name without its extension: readable, safe on every file system, and different for each key."""
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", row["photo_id"]).strip("-")[:SLUG_LENGTH] or "photo"
    return f"{slug}-{row['key'][:10]}-v{row['variant']}"
