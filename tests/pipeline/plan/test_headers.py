"""Headers are read in chunks, whose size depends on the rate limit."""

from pathlib import Path

import pyarrow as pa
import pytest
from fsspec.implementations.local import LocalFileSystem

from pipeline.images.photo import read_upright
from pipeline.plan.headers import CHUNK_PHOTOS, SIZES, ThreadedReader, photos_of_a_chunk, read_sizes
from pipeline.plan.rate_limit import TokenBucket


def chunk_of(*uris: str) -> pa.Table:
    rows = [{"uri": uri, "bytes": 1, "etag": None, "modified": None} for uri in uris]
    return pa.Table.from_pylist(rows, pa.schema(list(SIZES)[:4]))


def test_sizes_are_in_the_order_of_the_photos(photos: Path) -> None:
    paths = [*sorted(photos.iterdir()), photos / "none.jpg"]
    sizes = read_sizes(chunk_of(*map(str, paths)))
    assert sizes.schema == SIZES
    expected = [read_upright(path.read_bytes()).size for path in paths[:-1]]
    assert list(zip(*sizes.select(["width", "height"]).to_pydict().values(), strict=True)) == [*expected, (None, None)]


def test_a_photo_takes_a_token_before_it_is_opened(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = list[str]()
    original = LocalFileSystem._open

    def counted(self: LocalFileSystem, path: str, *arguments: object, **options: object) -> object:
        opened.append(path)
        return original(self, path, *arguments, **options)

    monkeypatch.setattr(LocalFileSystem, "_open", counted)
    opened_at_waits = list[int]()
    bucket = TokenBucket(1, lambda: 0.0, lambda _seconds: opened_at_waits.append(len(opened)))
    read_sizes(chunk_of(*map(str, photos.iterdir())), bucket)
    assert len(opened) == len(opened_at_waits) == 12
    assert all(count <= number for number, count in enumerate(opened_at_waits))


def test_chunks_stay_in_order_and_are_read_when_they_are_needed(photos: Path) -> None:
    paths = [str(path) for path in sorted(photos.iterdir())[:3]]
    taken = list[str]()

    def chunk(path: str) -> pa.Table:
        taken.append(path)
        return chunk_of(path)

    results = ThreadedReader()(map(chunk, paths))
    assert next(results)["uri"].to_pylist() == paths[:1]
    assert taken == paths[:1]
    assert [table["uri"][0].as_py() for table in results] == paths[1:]


@pytest.mark.parametrize(("rate", "photos"), [(None, CHUNK_PHOTOS), (1e6, CHUNK_PHOTOS), (2.0, 120), (0.001, 1)])
def test_a_rate_limit_makes_chunks_smaller(rate: float | None, photos: int) -> None:
    assert photos_of_a_chunk(rate) == ThreadedReader(rate).photos == photos
