"""Rows are converted to Arrow and back without loss, and their schema follows from the dataclass."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from schemas.arrow import IMAGE, Int32, arrow_type, schema_of, to_rows, to_table


@dataclass(frozen=True)
class Part:
    """A nested dataclass."""

    name: str
    size: Int32 | None = None


@dataclass(frozen=True)
class Whole:
    """A field of every supported type."""

    number: int
    part: Part
    optional: Part | None
    parts: tuple[Part | None, ...] | None
    points: tuple[tuple[float | None, ...] | None, ...] | None
    image: NDArray[np.uint8] | None
    moment: datetime | None
    content: bytes | None
    flag: bool = False


def test_the_schema_follows_from_the_dataclass() -> None:
    part = pa.struct([("name", pa.string()), ("size", pa.int32())])
    assert schema_of(Whole) == pa.schema(
        [
            ("number", pa.int64()),
            ("part", part),
            ("optional", part),
            ("parts", pa.list_(part)),
            ("points", pa.list_(pa.list_(pa.float64()))),
            ("image", IMAGE),
            ("moment", pa.timestamp("us", tz="UTC")),
            ("content", pa.large_binary()),
            ("flag", pa.bool_()),
        ]
    )


def test_an_unsupported_type_is_an_error() -> None:
    with pytest.raises(TypeError):
        arrow_type(complex)


PARTS = st.builds(Part, st.text(), st.none() | st.integers(-(2**31), 2**31 - 1))
NUMBERS = st.floats(allow_nan=False)
SIZES = st.tuples(st.integers(1, 5), st.integers(1, 5))
IMAGES = SIZES.map(lambda size: np.random.default_rng(size[0]).integers(0, 256, (*size, 3), np.uint8))
ROWS = st.builds(
    Whole,
    number=st.integers(-(2**63), 2**63 - 1),
    part=PARTS,
    optional=st.none() | PARTS,
    parts=st.none() | st.lists(st.none() | PARTS, max_size=3).map(tuple),
    points=st.none()
    | st.lists(st.none() | st.lists(st.none() | NUMBERS, max_size=3).map(tuple), max_size=3).map(tuple),
    image=st.none() | IMAGES,
    moment=st.none() | st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    content=st.none() | st.binary(),
    flag=st.booleans(),
)


@given(st.lists(ROWS, max_size=6), st.integers(0, 3))
def test_rows_are_the_same_after_arrow(rows: list[Whole], start: int) -> None:
    table = to_table(rows, Whole)
    assert table.schema == schema_of(Whole)
    chunked = pa.concat_tables([table.slice(start), table])  # slices and chunks, as Ray makes them
    for row, expected in zip(to_rows(chunked, Whole), [*rows[start:], *rows], strict=True):
        for name in ("number", "part", "optional", "parts", "points", "moment", "content"):
            assert getattr(row, name) == getattr(expected, name)
        assert (row.image is None) == (expected.image is None)
        if row.image is not None and expected.image is not None:
            assert (row.image == expected.image).all()


def test_images_are_read_only_views_of_the_table() -> None:
    row = Whole(1, Part("a"), None, None, None, np.zeros((4, 6, 3), np.uint8), None, None)
    (back,) = to_rows(to_table([row], Whole), Whole)
    assert back.image is not None
    assert back.image.base is not None
    with pytest.raises(ValueError, match="read-only"):
        back.image[0, 0, 0] = 1


def test_images_that_are_not_contiguous_are_copied_in_order() -> None:
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)[:, ::-1]
    (back,) = to_rows(to_table([Whole(1, Part("a"), None, None, None, image, None, None)], Whole), Whole)
    assert (back.image == image).all()
