"""Headers are read in chunks, whose size depends on the rate limit."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pipeline import storage
from pipeline.images.photo import ORIENTATION_TAG, read_upright
from pipeline.plan import headers
from pipeline.plan.headers import CHUNK_PHOTOS, HEADER_BLOCK, SIZES, ThreadedReader, photos_of_a_chunk, read_sizes
from pipeline.plan.rate_limit import TokenBucket
from pipeline.storage.limits import ReadLimits


def chunk_of(*uris: str) -> pa.Table:
    rows = [{"uri": uri, "bytes": 1, "etag": None, "modified": None} for uri in uris]
    return pa.Table.from_pylist(rows, pa.schema(list(SIZES)[:4]))


def test_sizes_are_in_the_order_of_the_photos(photos: Path) -> None:
    paths = [*sorted(photos.iterdir()), photos / "none.jpg"]
    sizes = read_sizes(chunk_of(*map(str, paths)))
    assert sizes.schema == SIZES
    expected = [read_upright(path.read_bytes()).size for path in paths[:-1]]
    assert list(zip(*sizes.select(["width", "height"]).to_pydict().values(), strict=True)) == [*expected, (None, None)]


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff", "gif", "avif"])
@pytest.mark.parametrize("side", [40, 400])
def test_the_size_of_large_and_small_files_is_that_of_the_upright_photo(tmp_path: Path, kind: str, side: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (side, side // 2, 3), np.uint8)
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6
    rotated = {} if kind == "gif" else {"exif": exif}
    path = tmp_path / f"photo.{kind}"
    Image.fromarray(noise).save(path, **rotated, **({"quality": 99} if kind in {"jpeg", "webp", "avif"} else {}))
    assert (path.stat().st_size > HEADER_BLOCK) == (side == 400)
    sizes = read_sizes(chunk_of(str(path))).to_pylist()[0]
    assert (sizes["width"], sizes["height"]) == read_upright(path.read_bytes()).size


def test_a_header_of_s3_is_read_with_one_request(bucket: str, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    s3fs = pytest.importorskip("s3fs")
    paths = sorted(photos.iterdir())
    for path in paths:
        storage.put(f"{bucket}/headers/{path.name}", path.read_bytes())
    requests, original = list[str](), s3fs.S3FileSystem._call_s3

    async def counted(self: object, method: str, *arguments: object, **options: object) -> object:
        requests.append(method)
        return await original(self, method, *arguments, **options)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", counted)
    sizes = read_sizes(chunk_of(*(f"{bucket}/headers/{path.name}" for path in paths)))
    assert sizes["width"].null_count == 0
    assert requests == ["get_object"] * len(paths)


def test_an_interruption_ends_the_waiting_for_tokens(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = TokenBucket(1e-6)  # a token takes days
    chunk = chunk_of(*map(str, photos.iterdir()))

    def interrupted(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(headers, "list", interrupted, raising=False)
    with pytest.raises(KeyboardInterrupt):
        read_sizes(chunk, bucket)
    with pytest.raises(InterruptedError):
        bucket.take()


def test_a_photo_takes_a_token_before_it_is_opened(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = list[str]()
    original = headers.read_start

    def counted(uri: str, limits: ReadLimits, deadline: float, most: int) -> bytes:
        opened.append(uri)
        return original(uri, limits, deadline, most)

    monkeypatch.setattr(headers, "read_start", counted)
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
