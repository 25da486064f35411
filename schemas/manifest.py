"""What users hand in: one row per photo."""

from collections import Counter
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.faults import ManifestFault
from schemas.detectors import DETECTORS, Settings
from schemas.work import MANIFEST_BOX, POINTS

MAP_URIS = frozenset(f"{detector}_uri" for detector in DETECTORS)
REQUIRED = pa.schema(
    [
        pa.field("photo_id", pa.string(), nullable=False),  # unique; never used as a path
        pa.field("uri", pa.string()),  # any fsspec address; relative ones start at the manifest's folder
    ]
)
OPTIONAL = pa.schema(
    [
        pa.field("width", pa.int32()),  # of the upright photo, in pixels
        pa.field("height", pa.int32()),
        pa.field("bytes", pa.int64()),
        pa.field("etag", pa.string()),  # changes whenever the photo's content does
        pa.field("modified", pa.timestamp("us", tz="UTC")),
        # Control maps that are known: a picture of the upright photo's shape each, and the people in it. The number of
        # a person's keypoints tells their order: COCO's 17, OpenPose's 18, BlazePose's 33, COCO-WholeBody's 133.
        *(pa.field(name, pa.string()) for name in sorted(MAP_URIS)),
        pa.field("pose_keypoints", POINTS),
        # How this photo is to look: instead of the recipe's own, or where its prompt names {prompt}, within it.
        pa.field("prompt", pa.string()),
        pa.field("negative_prompt", pa.string()),
        pa.field("reference_uri", pa.string()),  # a picture whose style or person an IP-Adapter takes
        # Labels, which come along into the picture.
        pa.field("boxes", pa.list_(MANIFEST_BOX)),  # x and y of the upper left corner, width, height, category
        pa.field("keypoints", POINTS),
        pa.field("mask_uri", pa.string()),  # a picture of the upright photo's shape: what is not 0 belongs to it
    ]
)
KNOWN = pa.schema([*REQUIRED, *OPTIONAL])
URIS = ("uri", "mask_uri", "reference_uri", *sorted(MAP_URIS))


def check_manifest(table: pa.Table, source: str) -> pa.Table:
    """Return `table` with the known columns in the types of `KNOWN` (absent ones all null) and the further ones as is.

    Raises `ManifestFault`, naming `source`, for a missing column, a wrong type, an empty or a doubled photo_id.
    """
    for name in REQUIRED.names:
        if name not in table.column_names:
            found = ", ".join(table.column_names) or "none"
            message = f"{source}: column {name!r} is missing (found: {found})"
            raise ManifestFault(message, "A manifest needs photo_id and uri.")
    doubled = [name for name, count in Counter(table.column_names).items() if count > 1]
    if doubled:
        message = f"{source}: column {doubled[0]!r} stands twice"
        raise ManifestFault(message, "Name each column once.")
    if not table.num_rows:
        message = f"{source}: no row"
        raise ManifestFault(message, "A manifest holds one row per photo.")
    columns = {field.name: _typed(table, field, source) for field in KNOWN}
    columns |= {name: table[name] for name in table.column_names if name not in columns}
    _check_ids(columns["photo_id"], source)
    return pa.table(columns)


def further_columns(table: pa.Table, detectors: Iterable[Settings] = ()) -> list[str]:
    """Name the columns that a run with these detectors does not use, and carries into provenance as they are."""
    used = {*KNOWN.names} - MAP_URIS | {f"{settings.name}_uri" for settings in detectors}
    filled = (name for name in table.column_names if name not in used)
    return [name for name in filled if name not in MAP_URIS or table[name].null_count < table.num_rows]


def _typed(table: pa.Table, field: pa.Field, source: str) -> pa.ChunkedArray | pa.Array:
    if field.name not in table.column_names:
        return pa.nulls(table.num_rows, field.type)
    column = table[field.name]
    wrong = pa.types.is_string(field.type) and not is_text(column.type)
    if not wrong:
        try:
            return column.cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            wrong = True
    message = f"{source}: column {field.name!r} holds {column.type}, not {field.type}"
    raise ManifestFault(message, "Cast it when you write the manifest.")


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a column of this type is taken as text: any of Arrow's strings, or nothing but nulls."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_null(kind)
    )


def _check_ids(ids: pa.ChunkedArray, source: str) -> None:
    empty = pc.or_kleene(pc.is_null(ids), pc.equal(ids, ""))
    if (row := pc.index(empty, True).as_py()) >= 0:
        message = f"{source}: row {row} has no photo_id"
        raise ManifestFault(message, "Give each photo a name of its own.")
    counts = pc.value_counts(ids)
    doubled = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(doubled):
        first = doubled[0].as_py()
        message = f"{source}: photo_id {first['values']!r} stands in {first['counts']} rows ({len(doubled)} such ids)"
        raise ManifestFault(message, "Each photo_id may stand once.")
