"""Convert rows, which are frozen dataclasses, to Arrow tables and back.

The Arrow schema of a row follows from the types of its fields. A field may be a `str`, `int`, `float`, `bool`, `bytes`,
`datetime`, a tuple, another dataclass, or an image. Each of these may be optional (`X | None`). An image,
`NDArray[np.uint8]` of shape [height, width, 3], is a struct of its height, its width and its bytes. Its bytes are
copied once on the way to Arrow. On the way back the array is a read-only view of Arrow's memory.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from types import NoneType, UnionType
from typing import Annotated, Any, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

R = TypeVar("R")

Int32: TypeAlias = Annotated[int, pa.int32()]
"""An integer that Arrow stores in 32 bits."""

CHANNELS = 3
IMAGE = pa.struct([("height", pa.int32()), ("width", pa.int32()), ("data", pa.large_binary())])
_SIMPLE: dict[object, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    bytes: pa.large_binary(),
    datetime: pa.timestamp("us", tz="UTC"),
}


@functools.cache
def columns_of(row: type) -> dict[str, Any]:
    """Return the type hint of each field of a dataclass, in order."""
    hints = get_type_hints(row, include_extras=True)
    return {field.name: hints[field.name] for field in fields(row)}


@functools.cache
def schema_of(row: type) -> pa.Schema:
    """Return the Arrow schema of a dataclass."""
    return pa.schema([(name, arrow_type(hint)) for name, hint in columns_of(row).items()])


def arrow_type(hint: Any) -> pa.DataType:  # noqa: ANN401 - a type hint
    """Return the Arrow type of a type hint. Raises TypeError or ValueError for an unsupported hint."""
    kind, declared = _unwrapped(hint)
    if declared is not None:
        return declared
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    if get_origin(kind) is np.ndarray:
        return IMAGE
    if get_origin(kind) is tuple:
        return pa.list_(arrow_type(get_args(kind)[0]))
    if is_dataclass(kind):
        return pa.struct(list(schema_of(kind)))  # type: ignore[arg-type]  # a class, not an instance
    raise TypeError(f"{hint}: unsupported type of a column")


def to_table(rows: Sequence[object], row: type) -> pa.Table:
    """Return a table with one column for each field of the dataclass `row`."""
    columns = {name: [getattr(each, name) for each in rows] for name in columns_of(row)}
    return columns_to_table(columns, columns_of(row))


def columns_to_table(columns: dict[str, list[Any]], hints: dict[str, Any]) -> pa.Table:
    """Return a table with one column for each type hint, from the values of each column by name."""
    schema = pa.schema([(name, arrow_type(hint)) for name, hint in hints.items()])
    return pa.table([to_array(columns[name], hint) for name, hint in hints.items()], schema=schema)


def to_rows(table: pa.Table, row: Callable[..., R]) -> list[R]:
    """Return the rows of a table as instances of the dataclass `row`."""
    hints = columns_of(row)
    columns = [to_values(table[name], hint) for name, hint in hints.items()]
    return [row(*values) for values in zip(*columns, strict=True)]


def to_array(values: Sequence[Any], hint: Any) -> pa.Array:  # noqa: ANN401 - values of any column
    """Return the Arrow array of the values of one column."""
    kind, _ = _unwrapped(hint)
    if get_origin(kind) is np.ndarray:
        return _images_to_array(values)
    if is_dataclass(kind):
        return _structs_to_array(values, kind)  # type: ignore[arg-type]  # a class, not an instance
    if get_origin(kind) is tuple and _is_nested(get_args(kind)[0]):
        return _lists_to_array(values, get_args(kind)[0])
    return pa.array(values, arrow_type(hint))


def to_values(column: pa.ChunkedArray | pa.Array, hint: Any) -> list[Any]:  # noqa: ANN401 - values of any column
    """Return the values of one column."""
    if isinstance(column, pa.ChunkedArray):
        return [value for chunk in column.chunks for value in to_values(chunk, hint)]
    kind, _ = _unwrapped(hint)
    if get_origin(kind) is np.ndarray:
        return _images_of(column)
    if is_dataclass(kind):
        return _structs_of(column, kind)  # type: ignore[arg-type]  # a class, not an instance
    if get_origin(kind) is tuple and _is_nested(get_args(kind)[0]):
        return _lists_of(column, get_args(kind)[0])
    return [_as_tuple(value) for value in column.to_pylist()] if get_origin(kind) is tuple else column.to_pylist()


def _unwrapped(hint: Any) -> tuple[Any, pa.DataType | None]:  # noqa: ANN401 - a type hint
    """Return a hint without None and annotations, and the Arrow type that an annotation declares."""
    declared = None
    while True:
        if get_origin(hint) is Annotated:
            hint, *annotations = get_args(hint)
            declared = next((each for each in annotations if isinstance(each, pa.DataType)), declared)
        elif get_origin(hint) in {Union, UnionType}:
            (hint,) = (each for each in get_args(hint) if each is not NoneType)
        else:
            return hint, declared


def _is_nested(hint: Any) -> bool:  # noqa: ANN401 - a type hint
    kind, _ = _unwrapped(hint)
    return is_dataclass(kind) or get_origin(kind) is np.ndarray


def _as_tuple(value: Any) -> Any:  # noqa: ANN401 - lists of any depth
    return tuple(_as_tuple(entry) for entry in value) if isinstance(value, list) else value


def _missing(values: Sequence[Any]) -> pa.Array:
    return pa.array([value is None for value in values], pa.bool_())


def _structs_to_array(values: Sequence[Any], kind: type) -> pa.StructArray:
    children = [
        to_array([None if value is None else getattr(value, name) for value in values], hint)
        for name, hint in columns_of(kind).items()
    ]
    return pa.StructArray.from_arrays(children, fields=list(schema_of(kind)), mask=_missing(values))


def _structs_of(array: pa.StructArray, kind: type) -> list[Any]:
    columns = [to_values(array.field(name), hint) for name, hint in columns_of(kind).items()]
    present = array.is_valid().to_pylist()
    return [kind(*row) if valid else None for valid, *row in zip(present, *columns, strict=True)]


def _lists_to_array(values: Sequence[Any], hint: Any) -> pa.ListArray:  # noqa: ANN401 - a type hint
    lengths = [0 if value is None else len(value) for value in values]
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    entries = to_array([entry for value in values for entry in value or ()], hint)
    return pa.ListArray.from_arrays(offsets, entries, pa.list_(arrow_type(hint)), mask=_missing(values))


def _lists_of(array: pa.ListArray, hint: Any) -> list[Any]:  # noqa: ANN401 - a type hint
    offsets = array.offsets.to_pylist()
    first = offsets[0] if offsets else 0
    entries = to_values(array.values.slice(first, (offsets[-1] if offsets else 0) - first), hint)
    bounds = zip(array.is_valid().to_pylist(), offsets, offsets[1:], strict=False)
    return [tuple(entries[start - first : end - first]) if valid else None for valid, start, end in bounds]


def _images_to_array(images: Sequence[NDArray[np.uint8] | None]) -> pa.StructArray:
    """Copy images [H, W, 3] into one buffer."""
    offsets = np.zeros(len(images) + 1, np.int64)
    np.cumsum([0 if image is None else image.size for image in images], out=offsets[1:])
    buffer = pa.allocate_buffer(int(offsets[-1]))
    data = np.frombuffer(buffer, np.uint8)
    for image, start, end in zip(images, offsets, offsets[1:], strict=False):
        if image is not None:
            data[start:end].reshape(image.shape)[...] = image
    buffers = [None, pa.py_buffer(offsets), buffer]
    heights, widths = (
        pa.array([0 if image is None else image.shape[axis] for image in images], pa.int32()) for axis in (0, 1)
    )
    binary = pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(images), buffers)
    return pa.StructArray.from_arrays([heights, widths, binary], fields=list(IMAGE), mask=_missing(images))


def _images_of(array: pa.StructArray) -> list[NDArray[np.uint8] | None]:
    """Return images [H, W, 3] as read-only views of Arrow's memory."""
    binary = array.field("data")
    _, offset_buffer, data = binary.buffers()
    if data is None:
        return [None] * len(array)
    offsets = np.frombuffer(offset_buffer, np.int64)[binary.offset :]
    sizes = zip(array.field("height").to_pylist(), array.field("width").to_pylist(), strict=True)
    present = array.is_valid().to_pylist()
    return [
        _view(data, int(offset), *size) if valid else None
        for valid, offset, size in zip(present, offsets, sizes, strict=False)
    ]


def _view(data: pa.Buffer, offset: int, height: int, width: int) -> NDArray[np.uint8]:
    view = np.frombuffer(data, np.uint8, height * width * CHANNELS, offset).reshape(height, width, CHANNELS)
    view.flags.writeable = False  # other rows and processes share this memory
    return view
