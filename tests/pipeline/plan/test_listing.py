"""Folders of photos are listed by their headers, and an interrupted listing continues."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline import storage
from pipeline.errors import InterruptedRunError, NoPhotosError, StorageNotFoundError
from pipeline.images.photo import ORIENTATION_TAG
from pipeline.plan import headers
from pipeline.plan import listing as module
from pipeline.plan.headers import ThreadedReader
from pipeline.plan.listing import Listing, ListingOptions, list_photos, write_listing
from pipeline.storage.limits import ReadLimits
from schemas.manifest import KNOWN

COLUMNS = ["photo_id", "uri", "width", "height", "bytes", "etag", "modified"]
CHUNK = 4


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of the photos whose headers are read, which grows with each of them."""
    paths = list[str]()
    original = headers.read_start

    def counted(uri: str, limits: ReadLimits, deadline: float, most: int) -> bytes:
        paths.append(uri)
        return original(uri, limits, deadline, most)

    monkeypatch.setattr(headers, "read_start", counted)
    return paths


def options_of(out: Path, **options: str) -> ListingOptions:
    return ListingOptions(ThreadedReader(photos=CHUNK), parts=f"{out}.parts", **options)


def test_list_photos_reads_the_upright_size_of_each_photo(tmp_path: Path) -> None:
    (tmp_path / "nested").mkdir()
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6
    Image.new("RGB", (40, 30)).save(tmp_path / "nested" / "turned.jpg", exif=exif)
    Image.new("RGB", (20, 10)).save(tmp_path / "Wide.PNG")
    (tmp_path / "broken.jpg").write_text("text")
    (tmp_path / "notes.txt").write_text("text")
    listed = list_photos(str(tmp_path))
    assert listed.schema == pa.schema([KNOWN.field(name) for name in COLUMNS])
    assert listed.select(["photo_id", "width", "height"]).to_pylist() == [
        {"photo_id": "Wide.PNG", "width": 20, "height": 10},
        {"photo_id": "broken.jpg", "width": None, "height": None},
        {"photo_id": "nested/turned.jpg", "width": 30, "height": 40},
    ]
    row = listed.to_pylist()[0]
    assert (row["uri"], row["bytes"]) == (f"{tmp_path}/Wide.PNG", (tmp_path / "Wide.PNG").stat().st_size)
    assert row["modified"].timestamp() == pytest.approx((tmp_path / "Wide.PNG").stat().st_mtime, abs=1e-5)


def test_list_photos_does_not_decode_pixels(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_image: Image.Image) -> None:
        raise AssertionError

    Image.init()  # because a plugin of Pillow loads an image when it is imported
    monkeypatch.setattr(Image.Image, "load", fail)
    assert list_photos(str(photos))["width"].null_count == 0


def test_the_output_inside_of_the_folder_is_skipped(tmp_path: Path) -> None:
    for name in ("a.png", "out/images/u/a.png", "outside.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    target = tmp_path / "out" / "m.parquet"
    assert write_listing(str(tmp_path), str(target), ListingOptions(skip=str(tmp_path / "out"))).photos == 2
    assert pq.read_table(target)["photo_id"].to_pylist() == ["a.png", "outside.png"]


def test_an_output_that_is_named_through_a_link_is_skipped(tmp_path: Path) -> None:
    for name in ("in/a.png", "in/out/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "link").symlink_to("in")
    for folder, output in [("in", "link/out"), ("link", "in/out"), ("link", "link/out")]:
        options = ListingOptions(skip=str(tmp_path / output))
        assert write_listing(str(tmp_path / folder), str(tmp_path / "m.parquet"), options).photos == 1


def test_names_that_a_manifest_cannot_contain_are_left_out(
    tmp_path: Path, bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (b"a.png", b"b\xff.png", b"c::d.png"):
        Image.new("RGB", (8, 8)).save(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    assert list_photos(str(tmp_path))["photo_id"].to_pylist() == ["a.png", "c::d.png"]
    assert list_photos(str(tmp_path))["width"].null_count == 0
    assert [record.args[1] for record in caplog.records if record.args] == [1, 1]
    fs, root = storage.filesystem(f"{bucket}/names")
    for name in ("a.png", "c::d.png"):
        fs.pipe_file(f"{root}/{name}", b"no photo")
    assert list_photos(f"{bucket}/names")["photo_id"].to_pylist() == ["a.png"]


def test_a_folder_without_photos_is_refused(tmp_path: Path, bucket: str) -> None:
    with pytest.raises(NoPhotosError):
        list_photos(str(tmp_path))
    (tmp_path / "a.txt").write_text("text")
    for name in (str(tmp_path / "a.txt"), f"{bucket}/none"):
        with pytest.raises(NoPhotosError):
            list_photos(name)
    with pytest.raises(StorageNotFoundError):
        list_photos(str(tmp_path / "none"))


def test_listed_addresses_are_absolute() -> None:
    storage.put("memory://listing/a.png", b"no photo")
    assert list_photos("memory://listing")["uri"].to_pylist() == ["memory:///listing/a.png"]


def test_a_listing_is_written_in_batches_and_sorted(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS_IN_MEMORY", 3)
    monkeypatch.setattr(storage.walk, "PAGE_FILES", 2)
    calls = list[tuple[int, int]]()
    out = tmp_path / "m.parquet"
    result = write_listing(str(photos), str(out), options_of(out), lambda *numbers: calls.append(numbers))
    assert result == Listing(12, 12)
    assert pq.read_table(out)["photo_id"].to_pylist() == sorted(path.name for path in photos.iterdir())
    assert calls == [(0, 4), (0, 8), (0, 12), (0, 12), (4, 12), (8, 12), (12, 12)]
    assert [path.name for path in tmp_path.iterdir()] == ["m.parquet"]


def test_headers_of_unchanged_photos_are_not_read_again(tmp_path: Path, photos: Path, opened: list[str]) -> None:
    folder, out = tmp_path / "in", tmp_path / "m.parquet"
    folder.mkdir()
    for path in photos.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "broken.jpg").write_text("text")
    write_listing(str(folder), str(out), options_of(out))
    first = pq.read_table(out)
    opened.clear()
    write_listing(str(folder), str(out), options_of(out, known=str(out)))
    assert opened == [str(folder / "broken.jpg")]
    assert pq.read_table(out).equals(first)
    Image.new("RGB", (50, 60)).save(folder / "p003.jpg")
    write_listing(str(folder), str(out), options_of(out, known=str(out)))
    assert sorted(opened[1:]) == [str(folder / "broken.jpg"), str(folder / "p003.jpg")]
    assert pq.read_table(out).slice(4, 1).select(["photo_id", "width"]).to_pylist() == [
        {"photo_id": "p003.jpg", "width": 50}
    ]


@pytest.fixture
def interrupted(photos: Path, tmp_path: Path) -> Iterator[Path]:
    """Return the address of a manifest whose listing was interrupted after two of three chunks."""
    out = tmp_path / "[m].parquet"

    def interrupt(done: int, _photos: int) -> None:
        if done == 2 * CHUNK:
            raise InterruptedRunError("interrupted")

    with pytest.raises(InterruptedRunError):
        write_listing(str(photos), str(out), options_of(out), interrupt)
    assert not out.exists()
    yield out
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_an_interrupted_listing_reads_the_missing_headers_only(
    photos: Path, interrupted: Path, opened: list[str]
) -> None:
    write_listing(str(photos), str(interrupted), options_of(interrupted))
    assert len(opened) == CHUNK
    assert pq.read_table(interrupted).to_pylist() == list_photos(str(photos)).to_pylist()


def test_a_damaged_part_is_read_again(photos: Path, interrupted: Path, opened: list[str]) -> None:
    damaged = min(Path(f"{interrupted}.parts").iterdir())
    damaged.write_bytes(b"text")
    write_listing(str(photos), str(interrupted), options_of(interrupted))
    assert len(opened) == 2 * CHUNK


@pytest.mark.slow
def test_a_killed_listing_reads_the_missing_headers_only(photos: Path, tmp_path: Path, opened: list[str]) -> None:
    out = tmp_path / "m.parquet"
    code = (
        "import sys; from pipeline.plan.headers import ThreadedReader\n"
        "from pipeline.plan.listing import ListingOptions, write_listing\n"
        "write_listing(*sys.argv[1:3], ListingOptions(ThreadedReader(1, 2), parts=sys.argv[3]))\n"
    )
    parts = Path(f"{out}.parts")
    process = subprocess.Popen([sys.executable, "-c", code, str(photos), str(out), str(parts)])
    while not list(parts.glob("headers-*")):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    kept = len(list(parts.glob("headers-*")))
    assert write_listing(str(photos), str(out), options_of(out)) == Listing(12, 12)
    assert len(opened) == 12 - 2 * kept
    assert not parts.exists()


def test_without_a_reader_no_photo_is_opened(photos: Path, tmp_path: Path, opened: list[str]) -> None:
    out, parts = tmp_path / "m.parquet", tmp_path / "parts"
    parts.mkdir()
    (parts / "headers-1.parquet").touch()  # of an interrupted listing
    assert write_listing(str(photos), str(out), ListingOptions(parts=str(parts))) == Listing(12, 0)
    assert not parts.exists()
    assert opened == []
    listed = pq.read_table(out)
    assert listed.drop_columns(["width", "height"]).equals(
        list_photos(str(photos)).drop_columns(["width", "height"]).cast(listed.drop_columns(["width", "height"]).schema)
    )
    assert listed.schema.field("width").type == pa.int32()
    assert listed["width"].null_count == listed["height"].null_count == 12


def test_a_bucket_of_several_pages_is_listed(bucket: str, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in photos.iterdir():
        storage.put(f"{bucket}/listing/in/{path.name}", path.read_bytes())
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "5")
    out = f"{bucket}/listing/m.parquet"
    options = ListingOptions(ThreadedReader(photos=CHUNK), parts=f"{out}.parts")
    assert write_listing(f"{bucket}/listing/in", out, options) == Listing(12, 12)
    rows, local = storage.read_table(out).to_pylist(), list_photos(str(photos)).to_pylist()
    for name in ("photo_id", "width", "height", "bytes"):
        assert [row[name] for row in rows] == [row[name] for row in local]
    assert rows[0]["uri"] == f"{bucket}/listing/in/p000.jpg"
    assert all(row["etag"] and row["modified"] for row in rows)
    assert storage.names(f"{bucket}/listing") == ["m.parquet"]
    assert storage.names(f"{out}.parts") == []
